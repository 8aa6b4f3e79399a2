// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <snug/backend/cuda/add_column_sums.cuh>
#include <snug/backend/cuda/for_each_row.cuh>
#include <snug/backend/cuda/launch.cuh>
#include <snug/backend/cuda/row_sizes.hpp>
#include <snug/backend/cuda/tag.hpp>
#include <snug/backend/cuda/team.cuh>
#include <snug/ops/for_each_row_with_column_sums.hpp>
#include <type_traits>

namespace snug::SNUG_TARGET::backend::cuda {

namespace detail {

/// Groups of columns that a lane of `Lanes` owns.
template <index_t Width, int Lanes>
inline constexpr int groups_of_lane = static_cast<int>((Width + Lanes * group_size - 1) /
                                                       (Lanes * group_size));

/// One lane's part of the sums of a row, for several sums at once, so that what they share is read once. The lane of a team of
/// `Lanes` owns the groups of columns that `team.map` gives it.
template <index_t Width, int Lanes, class S, int Sums>
struct column_totals {
    static constexpr int groups = groups_of_lane<Width, Lanes>;
    S total[Sums][groups][group_size] = {};

    /// f(group, k, column) for every column of the lane.
    template <class F>
    static __device__ __forceinline__ void for_each_column(index_t lane, F f) {
#pragma unroll
        for (int g = 0; g < groups; ++g) {
            auto const column = opaque(lane + g * Lanes) * group_size;
            if ((g + 1) * Lanes * group_size <= Width || column + group_size <= Width) {
#pragma unroll
                for (int k = 0; k < group_size; ++k) f(g, k, column + k);
            } else if constexpr (Width % group_size != 0) {
#pragma unroll
                for (int k = 0; k < group_size; ++k)
                    if (column + k < Width) f(g, k, column + k);
            }
        }
    }

    template <class... Values>
    __device__ __forceinline__ void add(index_t lane, index_t row, Values const&... values) {
        for_each_column(lane, [&](int g, int k, index_t column) {
            int sum = 0;
            ((total[sum++][g][k] += static_cast<S>(values(row, column))), ...);
        });
    }

    __device__ __forceinline__ void store(index_t lane, int sum, S* to) const {
        auto* const place = aligned<Width>(to);
        for_each_column(lane, [&](int g, int k, index_t column) { place[column] = total[sum][g][k]; });
    }
};

/// Warps go through rows of up to this many columns, as long as the totals of all sums fit into 64 registers.
inline constexpr index_t widest_for_warp_with_sums = 1024;
template <index_t Width, class S, int Sums>
inline constexpr bool sums_by_warps = Width <=
                                      widest_for_warp_with_sums&& Sums* groups_of_lane<Width, warp_width>*
                                          group_size* static_cast<int>(sizeof(S)) <= 256;

/// Row by row: the sums' parts of what is there, then what is done to the row, which now is in the first cache. The rows are
/// dealt out to all warps in turn.
template <index_t Width, class S, class Body, class... Values>
__global__ void __launch_bounds__(warps_of_rows* warp_width, 4)
    rows_with_sums_by_warps(index_t rows, S* partials, Body body, Values... values) {
    constexpr int sums = sizeof...(Values), threads = warps_of_rows * warp_width;
    auto const lane = threadIdx.x % warp_width, warp = threadIdx.x / warp_width;
    auto const blocks = static_cast<index_t>(gridDim.x);
    column_totals<Width, warp_width, S, sums> totals;
    for (auto i = static_cast<index_t>(blockIdx.x) * warps_of_rows + warp; i < rows;
         i += blocks * warps_of_rows) {
        auto const row = opaque(i);
        totals.add(lane, row, values...);
        __syncwarp();  // the body may store where other lanes have read
        body(warp_team{}, row);
    }
    alignas(16) __shared__ S of_warp[warps_of_rows][round_up(Width, group_size)];
#pragma unroll
    for (int sum = 0; sum < sums; ++sum) {
        totals.store(lane, sum, of_warp[warp]);
        __syncthreads();
        auto* const to = partials + (sum * blocks + blockIdx.x) * Width;
        for (index_t column = threadIdx.x; column < Width; column += threads) {
            S all = of_warp[0][column];
#pragma unroll
            for (int w = 1; w < warps_of_rows; ++w) all += of_warp[w][column];
            to[column] = all;
        }
        __syncthreads();  // the next sum is stored there again
    }
}

template <index_t Width>
inline constexpr int threads_with_sums = static_cast<int>(round_up((Width + group_size - 1) / group_size,
                                                                   warp_width));

/// The same by a block for every piece of the rows: a thread owns one group of columns.
template <index_t Width, class S, class Body, class... Values>
__global__ void __launch_bounds__(threads_with_sums<Width>)
    rows_with_sums_by_block(index_t rows, S* partials, Body body, Values... values) {
    constexpr int sums = sizeof...(Values), threads = threads_with_sums<Width>;
    auto const blocks = static_cast<index_t>(gridDim.x);
    column_totals<Width, threads, S, sums> totals;
    for (auto i = static_cast<index_t>(blockIdx.x); i < rows; i += blocks) {
        auto const row = opaque(i);
        totals.add(threadIdx.x, row, values...);
        __syncthreads();  // the body may store where other threads have read
        body(block_team<threads>{}, row);
    }
#pragma unroll
    for (int sum = 0; sum < sums; ++sum)
        totals.store(threadIdx.x, sum, aligned<Width>(partials) + opaque(sum * blocks + blockIdx.x) * Width);
}

}  // namespace detail

/// One pass over the rows; several, each over all rows, where they are too wide for a block to keep their sums.
template <index_t Width, class Body, class First, class... Others>
void for_each_row_with_column_sums_on(tag on, std::integral_constant<index_t, Width> width, index_t rows,
                                      std::byte* workspace, Body const& body, First const& first,
                                      Others const&... others) {
    using T = typename First::element;
    static_assert((std::is_same_v<T, typename Others::element> && ...),
                  "snug: the column sums of one pass are of one type");
    if (rows <= 0) return;
    if constexpr (Width > widest_with_sums) {
        add_column_sums_on(on, rows, Width, workspace, first.sums, first.value);
        (add_column_sums_on(on, rows, Width, workspace, others.sums, others.value), ...);
        for_each_row_on(on, width, rows, body);
    } else {
        using sum = column_sum_type<T>;
        constexpr int sums = 1 + sizeof...(Others);
        auto const blocks = rows_with_sums_pieces(rows);
        auto* const partials = reinterpret_cast<sum*>(workspace);
        if constexpr (detail::sums_by_warps<Width, sum, sums>)
            launch(on,
                   detail::rows_with_sums_by_warps<Width, sum, Body, decltype(First::value),
                                                   decltype(Others::value)...>,
                   static_cast<unsigned>(blocks), detail::warps_of_rows * warp_width, 0, rows, partials, body,
                   first.value, others.value...);
        else
            launch(on,
                   detail::rows_with_sums_by_block<Width, sum, Body, decltype(First::value),
                                                   decltype(Others::value)...>,
                   static_cast<unsigned>(blocks), detail::threads_with_sums<Width>, 0, rows, partials, body,
                   first.value, others.value...);
        detail::add_partial_sums_of<sum>(on, blocks, Width, partials,
                                         detail::sums_at<T, sums>{{first.sums, others.sums...}});
    }
}

}  // namespace snug::SNUG_TARGET::backend::cuda
