// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cuda_runtime.h>

#include <algorithm>
#include <snug/backend/cuda/launch.cuh>
#include <snug/backend/cuda/tag.hpp>
#include <snug/backend/cuda/team.cuh>
#include <snug/kernels/exact_sum.hpp>
#include <snug/ops/add_exact_sum.hpp>

namespace snug::SNUG_TARGET::backend::cuda {

namespace detail {

inline constexpr int warps_of_exact_sum = 8;
inline constexpr index_t most_blocks_of_exact_sum = 1024;

/// Units of one part, from any thread.
__device__ __forceinline__ void add_units(std::int64_t* part, std::int64_t units) {
    if (units != 0)
        atomicAdd(reinterpret_cast<unsigned long long*>(part), static_cast<unsigned long long>(units));
}

/// A warp sums a run, and its first lane adds that to the block's sum; at the end the blocks add theirs to
/// the total.
template <class Value>
__global__ void __launch_bounds__(warps_of_exact_sum* warp_width)
    exact_sums(index_t runs, index_t runs_of_row, index_t width, kernels::exact_sum* total, Value value) {
    using kernels::exact_sum;
    __shared__ std::int64_t parts[exact_sum::size];
    auto const thread = static_cast<int>(threadIdx.x);
    for (int k = thread; k < exact_sum::size; k += warps_of_exact_sum * warp_width) parts[k] = 0;
    __syncthreads();
    auto const warps = static_cast<index_t>(gridDim.x) * warps_of_exact_sum;
    for (auto run = static_cast<index_t>(blockIdx.x) * warps_of_exact_sum + thread / warp_width; run < runs;
         run += warps) {
        auto const in_row = run % runs_of_row * exact_sum::run;
        auto const first = run / runs_of_row * width + in_row;
        auto const sum =
            warp_team{}.sum<double>(std::min(index_t{exact_sum::run}, width - in_row),
                                    [=](index_t i) { return static_cast<double>(value(first + i)); });
        if (thread % warp_width == 0)
            exact_sum::split(sum, [&](int k, std::int64_t units) { add_units(&parts[k], units); });
    }
    __syncthreads();
    for (int k = thread; k < exact_sum::size; k += warps_of_exact_sum * warp_width)
        add_units(&total->parts[k], parts[k]);
}

}  // namespace detail

template <class Value>
void add_exact_sum_on(tag on, index_t rows, index_t width, kernels::exact_sum* total, Value const& value) {
    auto const runs_of_row = (width + kernels::exact_sum::run - 1) / kernels::exact_sum::run;
    auto const runs = rows * runs_of_row;
    if (runs <= 0) return;
    auto const blocks = std::min((runs + detail::warps_of_exact_sum - 1) / detail::warps_of_exact_sum,
                                 detail::most_blocks_of_exact_sum);
    launch(on, detail::exact_sums<Value>, static_cast<unsigned>(blocks),
           detail::warps_of_exact_sum * warp_width, 0, runs, runs_of_row, width, total, value);
}

}  // namespace snug::SNUG_TARGET::backend::cuda
