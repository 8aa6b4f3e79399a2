// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cuda_runtime.h>

#include <algorithm>
#include <snug/backend/cuda/launch.cuh>
#include <snug/backend/cuda/tag.hpp>
#include <snug/backend/cuda/team.cuh>
#include <snug/ops/add_rows.hpp>

namespace snug::SNUG_TARGET::backend::cuda {

namespace detail {

/// Adds rows of one key to the row of that key: the block of the first of them does it, the blocks of the others find an earlier
/// one and return. Nothing has to be sorted or kept; the work is rows × different keys comparisons.
template <class S, int Threads, class T, class From, class Key>
__global__ void __launch_bounds__(Threads) rows_of_a_key(From from, T* to, Key key, S factor) {
    constexpr int warps = Threads / warp_width;
    constexpr index_t width = From::width;
    __shared__ unsigned equal[warps];
    auto const mine = static_cast<index_t>(blockIdx.x);
    auto const wanted = key(mine);
    // All threads learn which of the rows first, first + 1, ... first + Threads - 1 have the key.
    auto const compare = [&](index_t first, index_t end) {
        auto const row = first + threadIdx.x;
        auto const votes = __ballot_sync(full_warp, row < end && key(row) == wanted);
        if (threadIdx.x % warp_width == 0) equal[threadIdx.x / warp_width] = votes;
        __syncthreads();
        unsigned any = 0;
#pragma unroll
        for (int w = 0; w < warps; ++w) any |= equal[w];
        return any != 0;
    };
    for (index_t first = 0; first < mine; first += Threads) {
        if (compare(first, mine)) return;
        __syncthreads();
    }
    for (index_t slice = 0; slice < width; slice += Threads * group_size) {
        auto const column = slice + opaque(threadIdx.x) * group_size;
        auto* const target = aligned<width>(to) + opaque(wanted) * width + column;
        S total[group_size];
#pragma unroll
        for (int k = 0; k < group_size; ++k) total[k] = column + k < width ? static_cast<S>(target[k]) : S{};
        for (index_t first = mine; first < from.rows; first += Threads) {
            if (compare(first, from.rows))
                for (int w = 0; w < warps; ++w)
                    for (unsigned left = equal[w]; left != 0; left &= left - 1) {
                        auto const row = first + w * warp_width + __ffs(static_cast<int>(left)) - 1;
                        auto const* const values =
                            aligned<From::stride>(from.data) + opaque(row) * From::stride + column;
                        if (column + group_size <= width) {
#pragma unroll
                            for (int k = 0; k < group_size; ++k)
                                total[k] += factor * static_cast<S>(values[k]);
                        } else {
#pragma unroll
                            for (int k = 0; k < group_size; ++k)
                                if (column + k < width) total[k] += factor * static_cast<S>(values[k]);
                        }
                    }
            __syncthreads();
        }
#pragma unroll
        for (int k = 0; k < group_size; ++k)
            if (column + k < width) target[k] = static_cast<T>(total[k]);
    }
}

}  // namespace detail

/// Rows of one key are added in Sum and rounded once.
template <class Sum, class T, class From, class Key>
void add_rows_on(tag on, Sum factor, From from, T* to, Key const& key) {
    constexpr index_t groups = (From::width + detail::group_size - 1) / detail::group_size;
    constexpr int threads =
        static_cast<int>(std::clamp(round_up(groups, index_t{warp_width}), index_t{64}, index_t{512}));
    if (from.rows <= 0) return;
    launch(on, detail::rows_of_a_key<Sum, threads, T, From, Key>, static_cast<unsigned>(from.rows), threads,
           0, from, to, key, factor);
}

}  // namespace snug::SNUG_TARGET::backend::cuda
