// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <deque>
#include <functional>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <sys/mman.h>
#include <ucontext.h>
#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#endif

#define SNUG_SWITCHES_STACKS __attribute__((noinline, no_sanitize("address")))

/// A grid of CUDA threads on one thread of the host: blocks one after another, a fiber for each thread of a block.
/// Between two barriers of the block each warp runs as far as it can, between two operations of the warp each lane; the
/// order of both turns around from one interval to the next, so that a missing barrier gives wrong numbers.
struct dim3 {
    unsigned x, y, z;
    constexpr dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
};
struct uint3 {
    unsigned x, y, z;
};

inline uint3 threadIdx{}, blockIdx{};
inline dim3 blockDim{}, gridDim{};
inline constexpr int warpSize = 32;

namespace emulation {

inline constexpr unsigned lanes = 32;

/// There is one device, and one kernel runs on it at a time, whichever threads of the host call: everything
/// that they share, down to `threadIdx` and static shared arrays, is used under this lock.
[[nodiscard]] inline std::unique_lock<std::recursive_mutex> lock() {
    static auto* const only = new std::recursive_mutex;
    return std::unique_lock(*only);
}

inline constexpr int poison = 0xFF;

/// What a kernel did wrong. Thrown out of the launch.
struct failure : std::logic_error {
    using std::logic_error::logic_error;
};

/// What happened since the program began. `shared_conflicts`: extra passes that ldmatrix would have needed.
struct counts {
    std::int64_t launches = 0, products = 0, matrix_loads = 0, shared_conflicts = 0;
    std::int64_t device_allocations = 0, device_bytes = 0, pinned_allocations = 0;
};
inline counts& counted() {
    static counts all;
    return all;
}

enum class condition { ready, at_barrier, in_warp_operation, returned };

struct asynchronous_copy {
    void* to;
    void const* from;  // null: zeros
    std::size_t size;
};

struct fiber {
    ucontext_t start;
    void* place[5];  // of __builtin_setjmp, which sanitizers do not intercept
    bool begun = false;
    condition now = condition::returned;
    uint3 index{};
    std::deque<std::vector<asynchronous_copy>> groups;  // the last one is not committed yet

    void complete_groups(std::size_t pending) {
        for (; groups.size() > pending + 1; groups.pop_front())
            for (auto const& copy : groups.front())
                if (copy.from) std::memcpy(copy.to, copy.from, copy.size);
                else std::memset(copy.to, 0, copy.size);
    }
};

struct warp {
    char const* operation = nullptr;
    unsigned arrived = 0;
    void* arguments[lanes] = {};
};

class multiprocessor {
  public:
    static constexpr unsigned most_threads = 1024;
    static constexpr std::size_t most_shared = 227 * 1024;

    static multiprocessor& instance() {
        static multiprocessor only;
        return only;
    }

    void run(dim3 grid, dim3 block, std::size_t shared_bytes, std::function<void()> const& kernel) {
        auto const alone = lock();
        if (running_) throw failure("a kernel launched a kernel");
        // Fibers go on only in the thread that they began in.
        if (std::exchange(thread_, std::this_thread::get_id()) != std::this_thread::get_id()) end_fibers();
        kernel_ = &kernel;
        running_ = true;
        gridDim = grid, blockDim = block;
        threads_ = block.x * block.y * block.z;
        shared_bytes_ = shared_bytes;
        ++counted().launches;
        for (blockIdx.z = 0; blockIdx.z < grid.z; ++blockIdx.z)
            for (blockIdx.y = 0; blockIdx.y < grid.y; ++blockIdx.y)
                for (blockIdx.x = 0; blockIdx.x < grid.x; ++blockIdx.x) run_block();
        running_ = false;
    }

    std::byte* shared() { return shared_; }
    fiber& current() { return fibers_[current_]; }
    unsigned lane() const { return current_ % lanes; }
    bool running() const { return running_; }

    void block_barrier() { wait(condition::at_barrier); }

    /// All lanes of a warp meet here; the last one calls combine(arguments of all lanes).
    template <class Arguments, class Combine>
    void warp_operation(char const* name, Arguments& mine, Combine combine) {
        auto& w = warps_[current_ / lanes];
        if (w.arrived > 0 && std::strcmp(w.operation, name) != 0)
            fail(std::string("calls ") + name + " where a lane of its warp called " + w.operation);
        w.operation = name;
        w.arguments[lane()] = &mine;
        if (++w.arrived < lanes) return wait(condition::in_warp_operation);
        Arguments* all[lanes];
        for (unsigned i = 0; i < lanes; ++i) all[i] = static_cast<Arguments*>(w.arguments[i]);
        combine(all);
        w.arrived = 0;
        auto* const first = &fibers_[current_ - lane()];
        for (unsigned i = 0; i < lanes; ++i) first[i].now = condition::ready;
    }

    /// Ends the launch from inside a kernel.
    [[noreturn]] void fail(std::string const& what) {
        message_ = here(current_) + " " + what;
        leave();
    }

  private:
    static constexpr std::size_t stack_bytes = 128 * 1024;
    static constexpr std::size_t page = 4096;
    static constexpr std::size_t canary = 4096;

    multiprocessor() : fibers_(most_threads) {
        stacks_ = static_cast<std::byte*>(mmap(nullptr, most_threads * stack_bytes, PROT_READ | PROT_WRITE,
                                               MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
        for (unsigned i = 0; i < most_threads; ++i) mprotect(stacks_ + i * stack_bytes, page, PROT_NONE);
    }

    static void entry() {
        auto& self = instance();
        for (;;) {
            try {
                (*self.kernel_)();
            } catch (std::exception const& e) {
                self.message_ = self.here(self.current_) + " threw: " + e.what();
            }
            self.wait(condition::returned);
        }
    }

    // Nothing local is used after the second return of a setjmp.
    SNUG_SWITCHES_STACKS void wait(condition why) {
        current().now = why;
        if (__builtin_setjmp(current().place) == 0) leave();
    }
    [[noreturn]] SNUG_SWITCHES_STACKS void leave() { __builtin_longjmp(scheduler_, 1); }

    SNUG_SWITCHES_STACKS void resume(unsigned thread) {
        current_ = thread;
        threadIdx = fibers_[thread].index;
        if (__builtin_setjmp(scheduler_) == 0) enter();
        if (!message_.empty()) abandon();
    }
    [[noreturn]] SNUG_SWITCHES_STACKS void enter() {
        auto& f = current();
        if (f.begun) __builtin_longjmp(f.place, 1);
        f.begun = true;
        getcontext(&f.start);
        f.start.uc_stack.ss_sp = stacks_ + current_ * stack_bytes + page;
        f.start.uc_stack.ss_size = stack_bytes - page;
        f.start.uc_link = nullptr;
        makecontext(&f.start, entry, 0);
        setcontext(&f.start);
        std::abort();
    }

    void end_fibers() {
        for (auto& f : fibers_) f.begun = false;
#if defined(__SANITIZE_ADDRESS__)
        ASAN_UNPOISON_MEMORY_REGION(stacks_, most_threads * stack_bytes);
#endif
    }

    [[noreturn]] void abandon() {
        end_fibers();
        for (auto& w : warps_) w = {};
        running_ = false;
        throw failure(std::exchange(message_, {}));
    }

    void run_block() {
        for (unsigned i = 0; i < threads_; ++i) {
            auto& f = fibers_[i];
            f.index = {i % blockDim.x, i / blockDim.x % blockDim.y, i / blockDim.x / blockDim.y};
            f.now = condition::ready;
            f.groups.assign(1, {});
        }
        std::memset(shared_, poison, shared_bytes_);
        std::memset(shared_ + shared_bytes_, 0xA5, canary);
        unsigned const all = (threads_ + lanes - 1) / lanes;
        bool up = ((counted().launches + blockIdx.x + blockIdx.y + blockIdx.z) & 1) != 0;
        for (bool more = true; more; up = !up) {
            for (unsigned w = 0; w < all; ++w) run_warp(up ? w : all - 1 - w, up);
            more = false;
            for (unsigned i = 0; i < threads_; ++i)
                if (fibers_[i].now == condition::at_barrier) fibers_[i].now = condition::ready, more = true;
        }
        for (std::size_t i = 0; i < canary; ++i)
            if (shared_[shared_bytes_ + i] != std::byte{0xA5}) {
                message_ = here(0) + " or another wrote beyond its " + std::to_string(shared_bytes_) +
                           " bytes of dynamic shared memory";
                abandon();
            }
    }

    /// Runs a warp until each lane waits for the block or has returned.
    void run_warp(unsigned which, bool up) {
        auto const first = which * lanes, count = std::min(lanes, threads_ - first);
        for (bool ran = true; ran; up = !up) {
            ran = false;
            for (unsigned i = 0; i < count; ++i) {
                auto const thread = first + (up ? i : count - 1 - i);
                if (fibers_[thread].now == condition::ready) resume(thread), ran = true;
            }
        }
        check_warp(first, count);
    }

    void check_warp(unsigned first, unsigned count) {
        if (warps_[first / lanes].arrived == 0) return;
        std::string missing;
        for (unsigned i = 0; i < lanes; ++i) {
            auto const now = i < count ? fibers_[first + i].now : condition::returned;
            if (now == condition::in_warp_operation) continue;
            missing = "lane " + std::to_string(i) +
                      (i >= count                     ? " does not exist"
                       : now == condition::at_barrier ? " waits in __syncthreads"
                                                      : " has returned");
            break;
        }
        message_ = here(first) + ": its warp waits for ever in " + warps_[first / lanes].operation + ", as " +
                   missing;
        abandon();
    }

    std::string here(unsigned thread) const {
        auto const text = [](uint3 v) {
            return "(" + std::to_string(v.x) + ", " + std::to_string(v.y) + ", " + std::to_string(v.z) + ")";
        };
        return "block " + text(blockIdx) + ", thread " + text(fibers_[thread].index);
    }

    std::vector<fiber> fibers_;
    warp warps_[most_threads / lanes];
    std::byte* stacks_ = nullptr;
    void* scheduler_[5];
    std::thread::id thread_;
    std::function<void()> const* kernel_ = nullptr;
    std::string message_;
    unsigned threads_ = 0, current_ = 0;
    std::size_t shared_bytes_ = 0;
    bool running_ = false;
    alignas(1024) std::byte shared_[most_shared + canary];
};

inline void require_full(unsigned mask) {
    if (mask != 0xFFFFFFFFu) multiprocessor::instance().fail("names lanes: only the full mask is emulated");
}

/// result = value of lane `source(lane)`.
template <class T, class Source>
T exchange(char const* name, unsigned mask, T value, Source source) {
    require_full(mask);
    struct arguments {
        T value, result;
        unsigned source;
    } mine{value, value, source(multiprocessor::instance().lane())};
    multiprocessor::instance().warp_operation(name, mine, [](arguments** all) {
        for (unsigned i = 0; i < lanes; ++i) all[i]->result = all[all[i]->source]->value;
    });
    return mine.result;
}

inline unsigned ballot(char const* name, unsigned mask, bool vote) {
    require_full(mask);
    struct arguments {
        bool vote;
        unsigned result;
    } mine{vote, 0};
    multiprocessor::instance().warp_operation(name, mine, [](arguments** all) {
        unsigned result = 0;
        for (unsigned i = 0; i < lanes; ++i) result |= static_cast<unsigned>(all[i]->vote) << i;
        for (unsigned i = 0; i < lanes; ++i) all[i]->result = result;
    });
    return mine.result;
}

}  // namespace emulation
