// SPDX-License-Identifier: Apache-2.0
#pragma once

// Thrust's own defaults ask for the CUDA toolkit, which a host-only build does not have. The choice has to be made
// before the first Thrust header of a translation unit; a build that makes it elsewhere is left alone.
#if !defined(THRUST_DEVICE_SYSTEM) && !defined(__CUDACC__)
#define THRUST_DEVICE_SYSTEM THRUST_DEVICE_SYSTEM_OMP
#endif

#include <omp.h>

#include <cstdint>

#include <thrust/for_each.h>
#include <thrust/iterator/counting_iterator.h>
#include <thrust/system/omp/execution_policy.h>

namespace snug::backend::host {

/// Index of the calling thread within its team; 0 outside a parallel loop.
inline int thread_index() noexcept { return omp_get_thread_num(); }

/// Threads that a `parallel_for` called here would use: 1 inside a parallel loop.
inline int thread_count() noexcept { return omp_in_parallel() ? 1 : omp_get_max_threads(); }

namespace detail {

/// f(i), as a call of its own. Inlined into a loop, GCC works on several short rows at once with vector instructions and on the
/// last ones without, and contracts to multiply-adds differently; which are the last ones depends on the number of threads.
template <class Function>
[[gnu::noinline]] void call(Function const& f, std::int64_t i) {
    f(i);
}

}  // namespace detail

/// Calls `f(i)` once for every i in [0, count), on all threads, and returns when all calls have returned.
/// Thread t of T gets one contiguous range of indices, the same in every call (OpenMP's static schedule).
/// Inside another parallel loop the calls happen one after another on the calling thread. Allocates nothing.
template <class Function>
void parallel_for(std::int64_t count, Function const& f) {
    // Alone there is nothing to share out, and libgomp would allocate a team of one thread for every loop.
    if (thread_count() == 1) {
        for (std::int64_t i = 0; i < count; ++i) {
            detail::call(f, i);
        }
        return;
    }
    thrust::for_each_n(thrust::omp::par, thrust::counting_iterator<std::int64_t>(0), count,
                       [&f](std::int64_t i) { detail::call(f, i); });
}

}  // namespace snug::backend::host
