// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdlib>
#include <map>
#include <memory>
#include <thread>

#include "fibers.hpp"
#include "warp_matrices.hpp"

/// A stand-in for NVIDIA's header of this name, for tests: the part of the runtime API and of the device language that
/// include/snug/backend/cuda uses, on the host. Device memory is memory that the host may touch only in a kernel or a
/// copy.
#define SNUG_CUDA_EMULATION 1

// The language. Static shared arrays keep what the previous block left; dynamic_shared() is poisoned for each block.
#define __host__
#define __device__
#define __global__
#define __constant__
#define __grid_constant__
#define __shared__ static
#define __forceinline__ __inline__ __attribute__((always_inline))
#define __launch_bounds__(...)

struct alignas(8) int2 {
    int x, y;
};
struct alignas(8) uint2 {
    unsigned x, y;
};
struct alignas(8) float2 {
    float x, y;
};
struct alignas(16) int4 {
    int x, y, z, w;
};
struct alignas(16) uint4 {
    unsigned x, y, z, w;
};
struct alignas(16) float4 {
    float x, y, z, w;
};
struct alignas(16) double2 {
    double x, y;
};
inline int2 make_int2(int x, int y) { return {x, y}; }
inline uint2 make_uint2(unsigned x, unsigned y) { return {x, y}; }
inline float2 make_float2(float x, float y) { return {x, y}; }
inline int4 make_int4(int x, int y, int z, int w) { return {x, y, z, w}; }
inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) { return {x, y, z, w}; }
inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }

using std::max;
using std::min;
inline float rsqrtf(float x) { return 1.0f / std::sqrt(x); }
inline float __expf(float x) { return std::exp(x); }
inline float __logf(float x) { return std::log(x); }
inline float __fdividef(float x, float y) { return x / y; }
inline float __frcp_rn(float x) { return 1.0f / x; }
inline float __uint_as_float(unsigned x) { return std::bit_cast<float>(x); }
inline float __int_as_float(int x) { return std::bit_cast<float>(x); }
inline unsigned __float_as_uint(float x) { return std::bit_cast<unsigned>(x); }
inline int __float_as_int(float x) { return std::bit_cast<int>(x); }
inline int __popc(unsigned x) { return std::popcount(x); }
inline int __clz(int x) { return std::countl_zero(static_cast<unsigned>(x)); }
inline int __ffs(int x) { return __builtin_ffs(x); }
template <class T>
T __ldg(T const* p) {
    return *p;
}
template <class T>
T __ldcs(T const* p) {
    return *p;
}
template <class T>
void __stcs(T* p, T value) {
    *p = value;
}
template <class T>
T atomicAdd(T* p, T value) {
    return std::exchange(*p, static_cast<T>(*p + value));
}
inline void __threadfence() {}
inline void __threadfence_block() {}
inline void __threadfence_system() {}
[[noreturn]] inline void __trap() { emulation::multiprocessor::instance().fail("trapped"); }

inline void __syncthreads() { emulation::multiprocessor::instance().block_barrier(); }
inline void __syncwarp(unsigned mask = 0xFFFFFFFFu) { (void)emulation::ballot("__syncwarp", mask, true); }
inline unsigned __ballot_sync(unsigned mask, int vote) {
    return emulation::ballot("__ballot_sync", mask, vote);
}
inline int __any_sync(unsigned mask, int vote) { return emulation::ballot("__any_sync", mask, vote) != 0; }
inline int __all_sync(unsigned mask, int vote) { return emulation::ballot("__all_sync", mask, vote) == ~0u; }
template <class T>
T __shfl_sync(unsigned mask, T value, int source, int width = 32) {
    auto const w = static_cast<unsigned>(width), s = static_cast<unsigned>(source);
    return emulation::exchange("__shfl_sync", mask, value,
                               [=](unsigned lane) { return lane / w * w + s % w; });
}
template <class T>
T __shfl_xor_sync(unsigned mask, T value, int bits, int width = 32) {
    auto const w = static_cast<unsigned>(width), b = static_cast<unsigned>(bits);
    return emulation::exchange("__shfl_xor_sync", mask, value, [=](unsigned lane) {
        return (lane ^ b) < lane / w * w + w ? lane ^ b : lane;
    });
}
template <class T>
T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = 32) {
    auto const w = static_cast<unsigned>(width);
    return emulation::exchange("__shfl_down_sync", mask, value,
                               [=](unsigned lane) { return lane % w + delta < w ? lane + delta : lane; });
}
template <class T>
T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = 32) {
    auto const w = static_cast<unsigned>(width);
    return emulation::exchange("__shfl_up_sync", mask, value,
                               [=](unsigned lane) { return lane % w >= delta ? lane - delta : lane; });
}

// The runtime.
enum cudaError_t {
    cudaSuccess = 0,
    cudaErrorInvalidValue = 1,
    cudaErrorMemoryAllocation = 2,
    cudaErrorCudartUnloading = 4,
    cudaErrorInvalidConfiguration = 9,
    cudaErrorInsufficientDriver = 35,
    cudaErrorNoDevice = 100,
    cudaErrorInvalidDevice = 101,
    cudaErrorNotReady = 600,
    cudaErrorIllegalAddress = 700,
    cudaErrorStreamCaptureUnsupported = 900,
    cudaErrorStreamCaptureInvalidated = 901,
    cudaErrorStreamCaptureUnjoined = 904,
    cudaErrorStreamCaptureIsolation = 905
};
using cudaError = cudaError_t;
enum cudaMemcpyKind {
    cudaMemcpyHostToHost,
    cudaMemcpyHostToDevice,
    cudaMemcpyDeviceToHost,
    cudaMemcpyDeviceToDevice,
    cudaMemcpyDefault
};
enum cudaDeviceAttr {
    cudaDevAttrMaxThreadsPerBlock = 1,
    cudaDevAttrMultiProcessorCount = 16,
    cudaDevAttrComputeCapabilityMajor = 75,
    cudaDevAttrComputeCapabilityMinor = 76,
    cudaDevAttrMaxSharedMemoryPerBlockOptin = 97
};
enum cudaFuncAttribute {
    cudaFuncAttributeMaxDynamicSharedMemorySize = 8,
    cudaFuncAttributePreferredSharedMemoryCarveout = 9
};
enum cudaStreamCaptureMode {
    cudaStreamCaptureModeGlobal,
    cudaStreamCaptureModeThreadLocal,
    cudaStreamCaptureModeRelaxed
};
enum cudaStreamCaptureStatus { cudaStreamCaptureStatusNone, cudaStreamCaptureStatusActive };
inline constexpr unsigned cudaStreamDefault = 0, cudaStreamNonBlocking = 1, cudaEventDisableTiming = 2;

struct cudaUUID_t {
    char bytes[16] = {};
};
struct cudaDeviceProp {
    char name[256] = "emulated device";
    cudaUUID_t uuid{};
    std::size_t totalGlobalMem = std::size_t{1} << 30;
    std::size_t sharedMemPerBlock = 48 * 1024;
    std::size_t sharedMemPerBlockOptin = emulation::multiprocessor::most_shared;
    int major = 9, minor = 0, multiProcessorCount = 4, warpSize = 32, maxThreadsPerBlock = 1024,
        l2CacheSize = 1 << 20;
};

namespace emulation {

struct stream;

struct task {
    std::function<void()> run;
    bool is_copy = false;
    std::function<bool()> may_run{};  ///< asked when its turn has come; empty: it may
    stream* after = nullptr;          ///< of which so many have to be done before
    std::size_t count = 0;
    std::function<task(stream*)> anew{};  ///< of a graph that is launched: what it does then, in this stream
};
using work = std::vector<task>;

/// What was captured, in the order in which it was asked for: that of the stream of number 0 of the capture, and of
/// those that wait for its events. `after`: it waits for so many nodes of another.
struct graph {
    struct node {
        task what;
        std::size_t lane = 0;
        std::size_t after = 0, count = 0;
        bool waits = false;
    };
    std::vector<node> nodes;
    std::size_t lanes = 1;

    std::size_t nodes_of(std::size_t lane) const {
        return static_cast<std::size_t>(
            std::count_if(nodes.begin(), nodes.end(), [=](node const& n) { return n.lane == lane; }));
    }
    /// The first lane comes, by what it waits for, behind all of the others.
    bool is_joined() const {
        std::vector<std::size_t> reached(lanes);
        reached[0] = nodes_of(0);
        for (bool grown = true; std::exchange(grown, false);) {
            std::vector<std::size_t> passed(lanes);
            for (auto const& n : nodes)
                if (passed[n.lane]++ < reached[n.lane] && n.waits && reached[n.after] < n.count) {
                    reached[n.after] = n.count;
                    grown = true;
                }
        }
        for (std::size_t lane = 0; lane < lanes; ++lane)
            if (reached[lane] < nodes_of(lane)) return false;
        return true;
    }
};

/// Streams that are captured together.
struct capture {
    std::size_t number = 0;
    std::thread::id by = std::this_thread::get_id();
    std::vector<stream*> lanes;
    graph nodes;

    std::size_t lane_of(stream* s) {
        auto const at = std::find(lanes.begin(), lanes.end(), s);
        return static_cast<std::size_t>(at - lanes.begin());
    }
};

struct stream {
    work waiting;
    std::size_t done = 0;  ///< of all its tasks; the first of `waiting` is number `done`
    capture* captured = nullptr;
    mutable int asked = 0;    ///< so often is its first task asked just now whether it may run
    int device = 0;           ///< its number
    bool runs_early = false;  ///< all of it as early as copies
};

/// What the tests may change: how many devices there are (which differ by their number only, and have one memory) and
/// what they say of themselves; whether work waits until the host synchronises, which shows where the host does not;
/// whether then copies, and what a graph does beside its first stream, run as early as their stream and the events that
/// it waits for allow, which shows where one stream does not wait for another; whether then messages to other devices
/// come last, behind all that other streams can do.
struct device_state {
    int count = 1;
    cudaDeviceProp properties;
    bool deferred = false;
    bool copies_early = false;
    bool messages_late = false;

    stream default_stream;
    std::vector<stream*> streams{&default_stream};
    std::map<void*, std::pair<void*, std::size_t>> memory;  // pointer -> the pages it lies in
    std::map<void const*, std::size_t> pinned;
    std::map<void const*, std::size_t> raised_shared;
    std::size_t used = 0;
    std::size_t captures = 0;

    /// The calling thread captures a stream: what others do meanwhile is their own business, as the mode of a
    /// capture says.
    bool capturing() const {
        return std::any_of(streams.begin(), streams.end(), [](auto* s) {
            return s->captured != nullptr && s->captured->by == std::this_thread::get_id();
        });
    }
    /// Neither pinned nor the device's.
    bool pageable(void const* p) const {
        auto const within = [p](auto const& blocks, auto size_of) {
            auto next = blocks.upper_bound(const_cast<void*>(p));
            if (next == blocks.begin()) return false;
            --next;
            return static_cast<std::byte const*>(p) <
                   static_cast<std::byte const*>(next->first) + size_of(next->second);
        };
        return !within(memory, [](auto const& pages) { return pages.second; }) &&
               !within(pinned, [](std::size_t size) { return size; });
    }
    stream& of(stream* s) { return s ? *s : default_stream; }
    /// Device memory is closed to the host when it has synchronised, until there is work again: that finds most of what
    /// would read or write it without a copy, and closing it after every kernel would take longer than the kernels.
    void open(bool wanted) {
        if (wanted == is_open) return;
        is_open = wanted;
        for (auto const& [pointer, pages] : memory)
            mprotect(pages.first, pages.second, wanted ? PROT_READ | PROT_WRITE : PROT_NONE);
    }
    bool is_open = false;
    int running = 0;
};
inline device_state& device() {
    static auto* const only = new device_state;
    return *only;
}

inline thread_local cudaError_t last_error = cudaSuccess;
inline thread_local int current_device = 0;
inline cudaError_t answer(cudaError_t code) {
    if (code != cudaSuccess) last_error = code;
    return code;
}

/// Runs the work of a device.
inline void run(std::function<void()> const& f) {
    device().open(true);
    ++device().running;
    struct end {
        ~end() { --device().running; }
    } const here;
    f();
}

/// The first task that was put off in a stream may run: it waits for no other stream or rank.
inline bool may_do_next(stream const& s) {
    if (s.waiting.empty()) return false;
    if (!s.waiting.front().may_run) return true;
    ++s.asked;
    bool const may = s.waiting.front().may_run();
    --s.asked;
    return may;
}
inline void run_early_copies();
inline void do_next(stream& s) {
    auto const next = std::move(s.waiting.front());
    s.waiting.erase(s.waiting.begin());
    ++s.done;
    run(next.run);
    if (device().copies_early) run_early_copies();
}

/// Copies, and waiting for what is over, that nothing of their own stream comes before.
inline void run_early_copies() {
    auto const may_run = [](stream const& s) {
        auto const& t = s.waiting.front();
        return t.after ? t.after->done >= t.count : t.is_copy || s.runs_early;
    };
    static bool is_here = false;
    if (std::exchange(is_here, true)) return;
    struct left {
        ~left() { is_here = false; }
    } const when_it_is;
    for (bool again = true; std::exchange(again, false);)
        for (auto* s : device().streams)
            while (s->asked == 0 && !s->waiting.empty() && may_run(*s) && may_do_next(*s)) {
                do_next(*s);
                again = true;
            }
}

/// Every asynchronous call of a library comes through here: it is captured, put off, or done at once, unless something
/// before it waits.
inline void enqueue(stream* s, task t) {
    auto& target = device().of(s);
    if (target.captured) {
        auto& into = *target.captured;
        into.nodes.nodes.push_back({std::move(t), into.lane_of(&target)});
    } else if (device().deferred) {
        target.waiting.push_back(std::move(t));
        if (device().copies_early) run_early_copies();
    } else if (!target.waiting.empty() || (t.may_run && !t.may_run())) {
        target.waiting.push_back(std::move(t));
    } else {
        ++target.done;
        run(t.run);
    }
}
inline void enqueue(stream* s, std::function<void()> f) { enqueue(s, task{std::move(f)}); }

/// Does what may be done now.
inline cudaError_t synchronize(stream& s) {
    if (s.captured) return answer(cudaErrorStreamCaptureUnsupported);
    while (may_do_next(s)) do_next(s);
    if (device().running == 0) device().open(false);
    return cudaSuccess;
}
inline cudaError_t synchronize_all() {
    if (device().capturing()) return answer(cudaErrorStreamCaptureUnsupported);
    for (auto* s : device().streams)
        if (!s->captured) (void)synchronize(*s);
    return cudaSuccess;
}

/// What was put off in a stream before the event was recorded there; or, while it is captured, was captured of it.
struct event {
    stream* recorded_in = nullptr;
    std::size_t before = 0;
    std::size_t in_capture = 0;  ///< its number; 0: in none
};
/// Does what was put off in a stream, up to number `last`, as far as it may be done; true: all of it is done.
inline bool catch_up(stream& s, std::size_t last) {
    while (s.done < last && may_do_next(s)) do_next(s);
    return s.done >= last || s.waiting.empty();
}
/// Asks again and again, while other threads may go on.
template <class F>
void until(F const& is_so) {
    for (;;) {
        {
            auto const alone = lock();
            if (is_so()) return;
        }
        std::this_thread::yield();
    }
}
inline task wait_for(stream* s, std::size_t last) {
    return {[=] { catch_up(*s, last); }, false, [=] { return catch_up(*s, last); }, s, last};
}

/// A graph that can be launched: its first lane runs in the stream of the launch, the others beside it.
struct executable_graph {
    graph nodes;
    std::vector<std::unique_ptr<stream>> beside;
    stream* launched_in = nullptr;
    std::size_t last = 0;  ///< of the tasks of the last launch there

    explicit executable_graph(graph const& captured) : nodes(captured) {
        for (std::size_t lane = 1; lane < nodes.lanes; ++lane) {
            beside.push_back(std::make_unique<stream>());
            beside.back()->runs_early = true;
            device().streams.push_back(beside.back().get());
        }
    }
    ~executable_graph() {
        if (launched_in) (void)catch_up(*launched_in, last);
        for (auto const& s : beside) {
            (void)synchronize(*s);
            std::erase(device().streams, s.get());
        }
    }
    void launch(stream& in) {
        std::vector<stream*> lanes{&in};
        for (auto const& s : beside) {
            s->device = in.device;
            enqueue(s.get(), wait_for(&in, in.done + in.waiting.size()));
            lanes.push_back(s.get());
        }
        std::vector<std::size_t> before;
        for (auto const* s : lanes) before.push_back(s->done + s->waiting.size());
        for (auto const& n : nodes.nodes)
            enqueue(lanes[n.lane], n.waits       ? wait_for(lanes[n.after], before[n.after] + n.count)
                                   : n.what.anew ? n.what.anew(lanes[n.lane])
                                                 : n.what);
        launched_in = &in;
        last = in.done + in.waiting.size();
    }
};

}  // namespace emulation

using cudaStream_t = emulation::stream*;
using cudaEvent_t = emulation::event*;
using cudaGraph_t = emulation::graph*;
using cudaGraphExec_t = emulation::executable_graph*;

inline char const* cudaGetErrorName(cudaError_t e) {
    switch (e) {
    case cudaSuccess: return "cudaSuccess";
    case cudaErrorInvalidValue: return "cudaErrorInvalidValue";
    case cudaErrorMemoryAllocation: return "cudaErrorMemoryAllocation";
    case cudaErrorInvalidConfiguration: return "cudaErrorInvalidConfiguration";
    case cudaErrorInsufficientDriver: return "cudaErrorInsufficientDriver";
    case cudaErrorNoDevice: return "cudaErrorNoDevice";
    case cudaErrorStreamCaptureUnsupported: return "cudaErrorStreamCaptureUnsupported";
    case cudaErrorStreamCaptureUnjoined: return "cudaErrorStreamCaptureUnjoined";
    case cudaErrorStreamCaptureIsolation: return "cudaErrorStreamCaptureIsolation";
    default: return "an error of the emulated device";
    }
}
inline char const* cudaGetErrorString(cudaError_t e) {
    switch (e) {
    case cudaSuccess: return "no error";
    case cudaErrorInvalidValue: return "invalid argument";
    case cudaErrorMemoryAllocation: return "out of memory";
    case cudaErrorInvalidConfiguration: return "invalid configuration argument";
    case cudaErrorNoDevice: return "no CUDA-capable device is detected";
    case cudaErrorStreamCaptureUnsupported: return "operation not permitted when stream is capturing";
    default: return "see the name";
    }
}
inline cudaError_t cudaGetLastError() { return std::exchange(emulation::last_error, cudaSuccess); }
inline cudaError_t cudaPeekAtLastError() { return emulation::last_error; }

inline cudaError_t cudaGetDeviceCount(int* count) {
    *count = emulation::device().count;
    return emulation::answer(*count > 0 ? cudaSuccess : cudaErrorNoDevice);
}
inline cudaError_t cudaGetDevice(int* which) {
    *which = emulation::current_device;
    return emulation::answer(emulation::device().count > 0 ? cudaSuccess : cudaErrorNoDevice);
}
inline cudaError_t cudaSetDevice(int which) {
    if (which < 0 || which >= emulation::device().count) return emulation::answer(cudaErrorInvalidDevice);
    emulation::current_device = which;
    return cudaSuccess;
}
inline cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int which) {
    *properties = emulation::device().properties;
    properties->uuid.bytes[0] = static_cast<char>(which);
    return cudaSuccess;
}
inline cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr which, int) {
    auto const& p = emulation::device().properties;
    switch (which) {
    case cudaDevAttrMaxThreadsPerBlock: *value = p.maxThreadsPerBlock; break;
    case cudaDevAttrMultiProcessorCount: *value = p.multiProcessorCount; break;
    case cudaDevAttrComputeCapabilityMajor: *value = p.major; break;
    case cudaDevAttrComputeCapabilityMinor: *value = p.minor; break;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin: *value = static_cast<int>(p.sharedMemPerBlockOptin); break;
    }
    return cudaSuccess;
}
inline cudaError_t cudaMemGetInfo(std::size_t* free, std::size_t* total) {
    auto const alone = emulation::lock();
    *total = emulation::device().properties.totalGlobalMem;
    *free = *total - emulation::device().used;
    return cudaSuccess;
}

/// The block ends where a page ends, up to 255 bytes; the page behind it can never be touched.
inline cudaError_t cudaMalloc(void** result, std::size_t size) {
    auto const alone = emulation::lock();
    auto& d = emulation::device();
    *result = nullptr;
    if (d.capturing()) return emulation::answer(cudaErrorStreamCaptureUnsupported);
    if (size == 0) return cudaSuccess;
    if (size > d.properties.totalGlobalMem - d.used) return emulation::answer(cudaErrorMemoryAllocation);
    constexpr std::size_t page = 4096;
    auto const used = (size + 255) / 256 * 256, pages = (used + page - 1) / page * page;
    d.open(false);
    void* const start =
        mmap(nullptr, pages + page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (start == MAP_FAILED) return emulation::answer(cudaErrorMemoryAllocation);
    *result = static_cast<std::byte*>(start) + (pages - used);
    d.memory[*result] = {start, pages};
    d.used += pages;
    ++emulation::counted().device_allocations;
    emulation::counted().device_bytes += static_cast<std::int64_t>(size);
    emulation::run([&] { std::memset(start, emulation::poison, pages); });
    return cudaSuccess;
}
template <class T>
cudaError_t cudaMalloc(T** result, std::size_t size) {
    return cudaMalloc(reinterpret_cast<void**>(result), size);
}
inline cudaError_t cudaFree(void* pointer) {
    auto const alone = emulation::lock();
    auto& d = emulation::device();
    if (!pointer) return cudaSuccess;
    (void)emulation::synchronize_all();
    auto const found = d.memory.find(pointer);
    if (found == d.memory.end()) return emulation::answer(cudaErrorInvalidValue);
    munmap(found->second.first, found->second.second + 4096);
    d.used -= found->second.second;
    d.memory.erase(found);
    return cudaSuccess;
}
inline cudaError_t cudaMallocHost(void** result, std::size_t size) {
    auto const alone = emulation::lock();
    *result = std::aligned_alloc(256, (size + 255) / 256 * 256);
    std::memset(*result, emulation::poison, size);
    emulation::device().pinned[*result] = size;
    ++emulation::counted().pinned_allocations;
    return cudaSuccess;
}
template <class T>
cudaError_t cudaMallocHost(T** result, std::size_t size) {
    return cudaMallocHost(reinterpret_cast<void**>(result), size);
}
inline cudaError_t cudaFreeHost(void* pointer) {
    auto const alone = emulation::lock();
    (void)emulation::synchronize_all();
    if (pointer && emulation::device().pinned.erase(pointer) == 0)
        return emulation::answer(cudaErrorInvalidValue);
    std::free(pointer);
    return cudaSuccess;
}

/// As on a device, pageable memory is read before this returns, and written too.
inline cudaError_t cudaMemcpyAsync(void* to, void const* from, std::size_t size, cudaMemcpyKind kind,
                                   cudaStream_t s = nullptr) {
    auto const alone = emulation::lock();
    auto& d = emulation::device();
    bool const puts_off = d.deferred && !d.of(s).captured;
    if (puts_off && kind == cudaMemcpyHostToDevice && d.pageable(from)) {
        std::vector<std::byte> staged(size);
        std::memcpy(staged.data(), from, size);
        emulation::enqueue(s, emulation::task{[to, staged = std::move(staged)] {
                                                  std::memcpy(to, staged.data(), staged.size());
                                              },
                                              true});
        return cudaSuccess;
    }
    emulation::enqueue(s, emulation::task{[=] { std::memmove(to, from, size); }, true});
    return puts_off && kind == cudaMemcpyDeviceToHost && d.pageable(to) ? emulation::synchronize(d.of(s))
                                                                        : cudaSuccess;
}
inline cudaError_t cudaMemsetAsync(void* to, int value, std::size_t size, cudaStream_t s = nullptr) {
    auto const alone = emulation::lock();
    emulation::enqueue(s, [=] { std::memset(to, value, size); });
    return cudaSuccess;
}
inline cudaError_t cudaMemcpy(void* to, void const* from, std::size_t size, cudaMemcpyKind) {
    auto const alone = emulation::lock();
    if (auto const e = emulation::synchronize_all(); e != cudaSuccess) return e;
    emulation::run([=] { std::memmove(to, from, size); });
    return cudaSuccess;
}
inline cudaError_t cudaMemset(void* to, int value, std::size_t size) {
    auto const alone = emulation::lock();
    if (auto const e = emulation::synchronize_all(); e != cudaSuccess) return e;
    emulation::run([=] { std::memset(to, value, size); });
    return cudaSuccess;
}

inline cudaError_t cudaStreamCreateWithFlags(cudaStream_t* s, unsigned) {
    auto const alone = emulation::lock();
    *s = new emulation::stream;
    (*s)->device = emulation::current_device;
    emulation::device().streams.push_back(*s);
    return cudaSuccess;
}
inline cudaError_t cudaStreamCreate(cudaStream_t* s) {
    return cudaStreamCreateWithFlags(s, cudaStreamDefault);
}
inline cudaError_t cudaStreamDestroy(cudaStream_t s) {
    auto const alone = emulation::lock();
    (void)emulation::synchronize(*s);  // its work is done all the same
    std::erase(emulation::device().streams, s);
    delete s;
    return cudaSuccess;
}
inline cudaError_t cudaStreamSynchronize(cudaStream_t s) {
    auto result = cudaSuccess;
    emulation::until([&] {
        auto& of = emulation::device().of(s);
        result = emulation::synchronize(of);
        return result != cudaSuccess || of.waiting.empty();
    });
    return result;
}
inline cudaError_t cudaDeviceSynchronize() {
    auto const alone = emulation::lock();
    return emulation::synchronize_all();
}
inline cudaError_t cudaStreamWaitEvent(cudaStream_t s, cudaEvent_t e, unsigned = 0) {
    auto const alone = emulation::lock();
    auto& waiting = emulation::device().of(s);
    // Waits for what the event stands for now; an event that was never recorded is over.
    auto const now = *e;
    if (!now.recorded_in) return cudaSuccess;
    // A stream that waits for one that is captured is captured with it; nothing that is captured waits for what is not.
    auto const number_of = [](emulation::stream const& one) {
        return one.captured ? one.captured->number : 0;
    };
    if (now.in_capture && !waiting.captured && number_of(*now.recorded_in) == now.in_capture) {
        waiting.captured = now.recorded_in->captured;
        waiting.captured->lanes.push_back(&waiting);
        ++waiting.captured->nodes.lanes;
    }
    if (now.in_capture != number_of(waiting)) return emulation::answer(cudaErrorStreamCaptureIsolation);
    if (auto* const into = waiting.captured)
        into->nodes.nodes.push_back(
            {{}, into->lane_of(&waiting), into->lane_of(now.recorded_in), now.before, true});
    else emulation::enqueue(s, emulation::wait_for(now.recorded_in, now.before));
    return cudaSuccess;
}
inline cudaError_t cudaEventCreateWithFlags(cudaEvent_t* e, unsigned) {
    *e = new emulation::event;
    return cudaSuccess;
}
inline cudaError_t cudaEventCreate(cudaEvent_t* e) { return cudaEventCreateWithFlags(e, 0); }
inline cudaError_t cudaEventDestroy(cudaEvent_t e) {
    delete e;
    return cudaSuccess;
}
inline cudaError_t cudaEventRecord(cudaEvent_t e, cudaStream_t s = nullptr) {
    auto const alone = emulation::lock();
    auto& in = emulation::device().of(s);
    if (auto* const into = in.captured) *e = {&in, into->nodes.nodes_of(into->lane_of(&in)), into->number};
    else *e = {&in, in.done + in.waiting.size()};
    return cudaSuccess;
}
inline cudaError_t cudaEventSynchronize(cudaEvent_t) {
    auto const alone = emulation::lock();
    return emulation::synchronize_all();
}
/// As a device works by itself, so does this one when it is asked: what it put off until the event.
inline cudaError_t cudaEventQuery(cudaEvent_t e) {
    auto const alone = emulation::lock();
    if (!e->recorded_in || emulation::catch_up(*e->recorded_in, e->before)) return cudaSuccess;
    return emulation::answer(cudaErrorNotReady);
}
inline cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t, cudaEvent_t) {
    *milliseconds = 0;
    return cudaSuccess;
}

inline cudaError_t cudaStreamBeginCapture(cudaStream_t s, cudaStreamCaptureMode) {
    auto const alone = emulation::lock();
    // As on a device, the default stream cannot be captured.
    if (!s || s->captured) return emulation::answer(cudaErrorStreamCaptureUnsupported);
    (void)emulation::synchronize(*s);
    s->captured = new emulation::capture{.number = ++emulation::device().captures, .lanes = {}, .nodes = {}};
    s->captured->lanes.push_back(s);
    return cudaSuccess;
}
inline cudaError_t cudaStreamEndCapture(cudaStream_t s, cudaGraph_t* graph) {
    auto const alone = emulation::lock();
    if (!s || !s->captured || s->captured->lanes[0] != s) return emulation::answer(cudaErrorInvalidValue);
    std::unique_ptr<emulation::capture> const all(s->captured);
    for (auto* lane : all->lanes) lane->captured = nullptr;
    *graph = nullptr;
    if (!all->nodes.is_joined()) return emulation::answer(cudaErrorStreamCaptureUnjoined);
    *graph = new emulation::graph(std::move(all->nodes));
    return cudaSuccess;
}
inline cudaError_t cudaStreamIsCapturing(cudaStream_t s, cudaStreamCaptureStatus* status) {
    auto const alone = emulation::lock();
    *status = s && s->captured ? cudaStreamCaptureStatusActive : cudaStreamCaptureStatusNone;
    return cudaSuccess;
}
inline cudaError_t cudaGraphInstantiate(cudaGraphExec_t* executable, cudaGraph_t graph,
                                        unsigned long long = 0) {
    auto const alone = emulation::lock();
    *executable = new emulation::executable_graph(*graph);
    return cudaSuccess;
}
inline cudaError_t cudaGraphLaunch(cudaGraphExec_t graph, cudaStream_t s) {
    auto const alone = emulation::lock();
    graph->launch(emulation::device().of(s));
    return cudaSuccess;
}
inline cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
    delete graph;
    return cudaSuccess;
}
inline cudaError_t cudaGraphExecDestroy(cudaGraphExec_t graph) {
    auto const alone = emulation::lock();
    delete graph;
    return cudaSuccess;
}

struct cudaLaunchAttribute {};
struct cudaLaunchConfig_t {
    dim3 gridDim, blockDim;
    std::size_t dynamicSmemBytes = 0;
    cudaStream_t stream = nullptr;
    cudaLaunchAttribute* attrs = nullptr;
    unsigned numAttrs = 0;
};

template <class Kernel>
cudaError_t cudaFuncSetAttribute(Kernel* kernel, cudaFuncAttribute which, int value) {
    auto const alone = emulation::lock();
    auto& d = emulation::device();
    if (which != cudaFuncAttributeMaxDynamicSharedMemorySize) return cudaSuccess;
    if (value < 0 || static_cast<std::size_t>(value) > d.properties.sharedMemPerBlockOptin)
        return emulation::answer(cudaErrorInvalidValue);
    d.raised_shared[reinterpret_cast<void const*>(kernel)] = static_cast<std::size_t>(value);
    return cudaSuccess;
}

template <class... P, class... A>
cudaError_t cudaLaunchKernelEx(cudaLaunchConfig_t const* config, void (*kernel)(P...), A&&... arguments) {
    auto const alone = emulation::lock();
    auto& d = emulation::device();
    auto const [grid, block, shared] =
        std::tuple(config->gridDim, config->blockDim, config->dynamicSmemBytes);
    auto const threads = std::size_t{block.x} * block.y * block.z;
    if (threads == 0 || threads > emulation::multiprocessor::most_threads || grid.x == 0 || grid.y == 0 ||
        grid.z == 0 || grid.x > 0x7FFFFFFFu || grid.y > 65535 || grid.z > 65535)
        return emulation::answer(cudaErrorInvalidConfiguration);
    if (shared >
        std::max(d.properties.sharedMemPerBlock, d.raised_shared[reinterpret_cast<void const*>(kernel)]))
        return emulation::answer(cudaErrorInvalidValue);
    emulation::enqueue(config->stream, [=, values = std::tuple<std::decay_t<P>...>(arguments...)] {
        emulation::multiprocessor::instance().run(grid, block, shared, [&] { std::apply(kernel, values); });
    });
    return cudaSuccess;
}
