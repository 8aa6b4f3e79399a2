// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cuda_runtime.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <memory>
#include <snug/snug.cuh>
#include <string>
#include <vector>

/// What the benchmarks on a GPU share: the device in words, memory, clocks, ceilings measured in the same run.
namespace measure {

namespace cuda = snug::backend::cuda;
using cuda::check;

/// The dense bf16 peak of the maker's data sheet for an H100 SXM, 10^12 operations per second: the denominator of every MFU here,
/// whatever the device is.
inline constexpr double peak_tflops = 989.4;

inline double seconds_now() {
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

inline double median_of(std::vector<double> values) {
    std::sort(values.begin(), values.end());
    return values[values.size() / 2];
}
inline double smallest_of(std::vector<double> const& values) {
    return *std::min_element(values.begin(), values.end());
}

/// The context of all that a benchmark runs itself; trainers have their own.
inline cuda::tag on() {
    static auto const only = snug::ops::prepare<snug::cuda>(snug::memory_bill{});
    return only.on();
}

struct device_memory {
    std::size_t free = 0, total = 0;
};
inline device_memory memory_now() {
    device_memory result;
    check(cudaMemGetInfo(&result.free, &result.total), "cudaMemGetInfo");
    return result;
}

/// What a figure means little without.
inline cudaDeviceProp print_device() {
    cuda::require_device();
    cudaDeviceProp device{};
    int which = 0, runtime = 0, driver = 0;
    check(cudaGetDevice(&which), "cudaGetDevice");
    check(cudaGetDeviceProperties(&device, which), "cudaGetDeviceProperties");
    check(cudaRuntimeGetVersion(&runtime), "cudaRuntimeGetVersion");
    check(cudaDriverGetVersion(&driver), "cudaDriverGetVersion");
    std::printf(
        "%s, %d multiprocessors, L2 %.0f MiB, runtime %d.%d, driver for %d.%d, cuBLASLt %zu; peak for MFU "
        "%.1f TFLOP/s\n",
        device.name, device.multiProcessorCount, static_cast<double>(device.l2CacheSize) / (1 << 20),
        runtime / 1000, runtime % 1000 / 10, driver / 1000, driver % 1000 / 10, cublasLtGetVersion(),
        peak_tflops);
    return device;
}

/// Memory of the device for a benchmark of single operations, all bits of which are those of small bf16 and fp32 numbers: nothing is
/// timed on zeros.
class device_room {
  public:
    explicit device_room(std::size_t size) : size_(size) {
        check(cudaMalloc(&first_, size), "cudaMalloc");
        fill();
    }
    device_room(device_room const&) = delete;
    device_room& operator=(device_room const&) = delete;
    ~device_room() { (void)cudaFree(first_); }

    std::byte* data() const { return static_cast<std::byte*>(first_); }
    std::size_t size() const { return size_; }
    void fill() const {
        snug::ops::for_each_element(on(), static_cast<snug::index_t>(size_ / 4),
                                    snug::ops::bound<small_numbers>(static_cast<std::uint32_t*>(first_)));
    }

    /// Two bf16 numbers of magnitude 1/8 to 1 in 32 bits, which are an fp32 number of such a magnitude too.
    struct small_numbers {
        constexpr void operator()(snug::index_t i, std::uint32_t* words) const {
            auto const bits = snug::random::bits(1, 2, static_cast<std::uint64_t>(i));
            auto const half = [](std::uint64_t b) {
                // Sign, an exponent of 2^-3, 2^-2 or 2^-1, seven bits of fraction.
                auto const exponent = 124 + b % 3;
                return static_cast<std::uint32_t>((b >> 2 & 1) << 15 | exponent << 7 | (b >> 3 & 0x7F));
            };
            words[i] = half(bits) << 16 | half(bits >> 32);
        }
    };

  private:
    void* first_ = nullptr;
    std::size_t size_;
};

/// Hands out pieces of a room, aligned to 256 bytes.
class carver {
  public:
    explicit carver(std::byte* from) : next_(from) {}
    template <class T>
    T* take(snug::index_t count) {
        auto* const result = reinterpret_cast<T*>(next_);
        next_ += snug::round_up(count * static_cast<snug::index_t>(sizeof(T)), snug::index_t{256});
        return result;
    }
    std::byte* end() const { return next_; }

  private:
    std::byte* next_;
};

/// Seconds that one of `calls` calls takes on the device: they are captured as one graph, so that the host's launching does not
/// count, and the graph is replayed `replays` times between events. The median replay.
template <class Call>
double seconds_per_call(int calls, int replays, Call const& call) {
    auto const stream = cuda::stream(on());
    call(0);  // libraries choose algorithms, kernels are loaded
    check(cudaStreamSynchronize(stream), "a first call");
    cudaGraph_t graph = nullptr;
    cudaGraphExec_t executable = nullptr;
    check(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), "cudaStreamBeginCapture");
    for (int i = 0; i < calls; ++i) call(i);
    check(cudaStreamEndCapture(stream, &graph), "cudaStreamEndCapture");
    check(cudaGraphInstantiate(&executable, graph, 0), "cudaGraphInstantiate");
    cudaEvent_t begin = nullptr, end = nullptr;
    check(cudaEventCreate(&begin), "cudaEventCreate");
    check(cudaEventCreate(&end), "cudaEventCreate");
    std::vector<double> seconds;
    for (int r = 0; r < replays + 2; ++r) {
        check(cudaEventRecord(begin, stream), "cudaEventRecord");
        check(cudaGraphLaunch(executable, stream), "cudaGraphLaunch");
        check(cudaEventRecord(end, stream), "cudaEventRecord");
        check(cudaEventSynchronize(end), "a replay");
        float milliseconds = 0;
        check(cudaEventElapsedTime(&milliseconds, begin, end), "cudaEventElapsedTime");
        if (r >= 2) seconds.push_back(1e-3 * static_cast<double>(milliseconds) / calls);
    }
    (void)cudaEventDestroy(begin);
    (void)cudaEventDestroy(end);
    (void)cudaGraphExecDestroy(executable);
    (void)cudaGraphDestroy(graph);
    return median_of(seconds);
}

/// Bytes per second of a copy of `size` bytes on the device, counting read and written ones.
inline double copy_bandwidth(device_room const& room, std::size_t size) {
    auto const sets = std::max<std::size_t>(room.size() / (2 * size), 1);
    auto const seconds = seconds_per_call(static_cast<int>(std::max<std::size_t>(sets, 4)), 9, [&](int i) {
        auto* const from = room.data() + static_cast<std::size_t>(i) % sets * 2 * size;
        cuda::copy_on_device(on(), from + size, from, size);
    });
    return 2 * static_cast<double>(size) / seconds;
}

/// What `main` returns: 1 when `body` throws, whose words are printed.
template <class Body>
int reported(Body const& body) {
    try {
        body();
        return 0;
    } catch (std::exception const& e) {
        std::fflush(stdout);
        std::fprintf(stderr, "%s\n", e.what());
        return 1;
    }
}

}  // namespace measure
