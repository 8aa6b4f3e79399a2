// SPDX-License-Identifier: Apache-2.0
#pragma once

// Thrust's own defaults ask for the CUDA toolkit, which a host-only build does not have. The choice has to be made
// before the first Thrust header of a translation unit; a build that makes it elsewhere is left alone.
#if !defined(THRUST_DEVICE_SYSTEM) && !defined(__CUDACC__)
#define THRUST_DEVICE_SYSTEM THRUST_DEVICE_SYSTEM_OMP
#endif

#include <omp.h>
#include <pthread.h>

#include <algorithm>
#include <cstdint>

#include <thrust/for_each.h>
#include <thrust/iterator/counting_iterator.h>
#include <thrust/system/omp/execution_policy.h>
#include <snug/target.hpp>

/// What a thread knows of the team that OpenMP keeps for it between parallel loops: the same team whatever the files of a
/// program are compiled for, so that it is not in the namespace of one of them.
namespace snug::openmp_team {

struct team_of_a_thread {
    bool exists = false;
    /// The process was forked: the team was not, and libgomp would wait for it for ever.
    bool is_lost = false;
};
inline constinit thread_local team_of_a_thread own{};

}  // namespace snug::openmp_team

namespace snug::SNUG_TARGET::backend::host {

namespace detail {

/// Before the first parallel loop of a thread.
inline void note_team() {
    using openmp_team::own;
    if (own.exists) return;
    [[maybe_unused]] static int const watching =
        pthread_atfork(nullptr, nullptr, [] { own.is_lost = own.exists; });
    own.exists = true;
}

/// At most so many threads for the parallel loops that this thread begins while this lives. OpenMP has that number for every
/// thread of its own: no other thread of the program sees it change.
class thread_limit {
  public:
    explicit thread_limit(int threads) : before_(omp_get_max_threads()) {
        if (threads < before_) omp_set_num_threads(threads);
    }
    ~thread_limit() {
        if (omp_get_max_threads() != before_) omp_set_num_threads(before_);
    }
    thread_limit(thread_limit const&) = delete;
    thread_limit& operator=(thread_limit const&) = delete;

  private:
    int before_;
};

/// f(i, slot), as a call of its own. Inlined into a loop, GCC works on several short rows at once with vector instructions and
/// on the last ones without, and contracts to multiply-adds differently; which are the last ones depends on the number of
/// threads.
template <class Function>
[[gnu::noinline]] void call(Function const& f, std::int64_t i, [[maybe_unused]] int slot) {
    if constexpr (requires { f(i, slot); }) f(i, slot);
    else f(i);
}

}  // namespace detail

/// Threads that a `parallel_for` called here with this bound would use: as many as OpenMP offers to the calling thread, but 1
/// inside another parallel region, and after a fork in the thread that forked.
inline int thread_count(int most) noexcept {
    return omp_in_parallel() || openmp_team::own.is_lost ? 1 : std::min(most, omp_get_max_threads());
}

/// Calls `f(i)` or `f(i, slot)` once for every i in [0, count), on at most `most` threads, and returns when all calls have
/// returned. Calls with one `slot` happen one after another, and 0 <= slot < most whichever thread begins the loop: what lies
/// in planned memory for each thread is found by it. Each slot gets one contiguous range of indices, the same in every call
/// (OpenMP's static schedule). Inside another parallel region all calls happen on the calling thread. Allocates nothing, but for
/// what OpenMP allocates in a thread's first loop.
template <class Function>
void parallel_for(int most, std::int64_t count, Function const& f) {
    int const threads = thread_count(most);
    // Alone there is nothing to share out, and libgomp would allocate a team of one thread for every loop.
    if (threads == 1) {
        for (std::int64_t i = 0; i < count; ++i) detail::call(f, i, 0);
        return;
    }
    detail::note_team();
    detail::thread_limit const limit(threads);
    thrust::for_each_n(thrust::omp::par, thrust::counting_iterator<std::int64_t>(0), count,
                       [&f](std::int64_t i) { detail::call(f, i, omp_get_thread_num()); });
}

}  // namespace snug::SNUG_TARGET::backend::host
