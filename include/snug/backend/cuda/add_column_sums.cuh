// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <snug/backend/cuda/launch.cuh>
#include <snug/backend/cuda/row_sizes.hpp>
#include <snug/backend/cuda/tag.hpp>
#include <snug/backend/cuda/team.cuh>
#include <snug/kernels/sinks.hpp>
#include <snug/ops/add_column_sums.hpp>

/// No sum depends on the device: how it is cut up follows from its length.
namespace snug::SNUG_TARGET::backend::cuda {

namespace detail {

inline constexpr int sum_threads = 256;
inline constexpr int rows_in_flight = 4;

/// The block sums 256 columns (x) of one piece (y) of the rows, which are dealt out to all warps of the pieces in turn: a lane 8
/// neighbouring columns of its warp's rows, then the warps are added up in order.
template <class S, class Value>
__global__ void __launch_bounds__(sum_threads)
    column_sums(index_t rows, index_t columns, S* partials, Value value) {
    constexpr int warps = sum_threads / warp_width;
    static_assert(columns_of_block == warp_width * group_size && columns_of_block == sum_threads);
    auto const lane = threadIdx.x % warp_width, warp = threadIdx.x / warp_width;
    auto const column = opaque(static_cast<index_t>(blockIdx.x) * warp_width + lane) * group_size;
    auto const first = static_cast<index_t>(blockIdx.y) * warps + warp;
    auto const step = static_cast<index_t>(gridDim.y) * warps;
    S total[group_size] = {};
    if (column + group_size <= columns) {
#pragma unroll rows_in_flight
        for (auto i = first; i < rows; i += step) {
            auto const row = opaque(i);
#pragma unroll
            for (int k = 0; k < group_size; ++k) total[k] += static_cast<S>(value(row, column + k));
        }
    } else {
        for (auto row = first; row < rows; row += step)
#pragma unroll
            for (int k = 0; k < group_size; ++k)
                if (column + k < columns) total[k] += static_cast<S>(value(row, column + k));
    }
    alignas(16) __shared__ S of_warp[warps][columns_of_block];
#pragma unroll
    for (int k = 0; k < group_size; ++k) of_warp[warp][lane * group_size + k] = total[k];
    __syncthreads();
    auto const mine = static_cast<index_t>(blockIdx.x) * columns_of_block + threadIdx.x;
    if (mine >= columns) return;
    S all = of_warp[0][threadIdx.x];
#pragma unroll
    for (int i = 1; i < warps; ++i) all += of_warp[i][threadIdx.x];
    partials[blockIdx.y * columns + mine] = all;
}

/// Where sums are added.
template <class T, int Sums>
struct sums_at {
    T* to[Sums];
};

inline constexpr int finishing_threads = 1024;

/// Adds the partial sums of all pieces, of shape (sums, pieces, columns), onto the sums: a warp every 32nd piece, then the warps in
/// order.
template <class S, class T, int Sums>
__global__ void __launch_bounds__(finishing_threads)
    add_partial_sums(index_t pieces, index_t columns, S const* partials, sums_at<T, Sums> sums) {
    constexpr int warps = finishing_threads / warp_width;
    auto const lane = threadIdx.x % warp_width, warp = threadIdx.x / warp_width;
    auto const column = static_cast<index_t>(blockIdx.x) * warp_width + lane;
    __shared__ S of_warp[warps][warp_width];
    if (column < columns) {
        auto const* const from = partials + blockIdx.y * pieces * columns + column;
        S total{};
#pragma unroll 8
        for (index_t piece = warp; piece < pieces; piece += warps) total += from[piece * columns];
        of_warp[warp][lane] = total;
    }
    __syncthreads();
    if (warp > 0 || column >= columns) return;
    S all = of_warp[0][lane];
#pragma unroll
    for (int i = 1; i < warps; ++i) all += of_warp[i][lane];
    T* to = sums.to[0];  // by comparisons: an index would put all of them into local memory
#pragma unroll
    for (int sum = 1; sum < Sums; ++sum)
        if (blockIdx.y == static_cast<unsigned>(sum)) to = sums.to[sum];
    add_to(to[column], all);
}

template <class S, class T, int Sums>
void add_partial_sums_of(tag on, index_t pieces, index_t columns, S const* partials, sums_at<T, Sums> sums) {
    launch(on, add_partial_sums<S, T, Sums>, dim3(detail::pieces(columns, warp_width), Sums),
           finishing_threads, 0, pieces, columns, partials, sums);
}

}  // namespace detail

/// Fast where `value` reads aligned rows (`snug::aligned`): then 8 columns are one access.
template <class T, class Value>
void add_column_sums_on(tag on, index_t rows, index_t columns, std::byte* workspace, T* sums,
                        Value const& value) {
    using sum = column_sum_type<T>;
    if (rows <= 0 || columns <= 0) return;
    auto const pieces = column_sums_pieces(rows, columns);
    auto* const partials = reinterpret_cast<sum*>(workspace);
    launch(on, detail::column_sums<sum, Value>,
           dim3(detail::pieces(columns, columns_of_block), static_cast<unsigned>(pieces)),
           detail::sum_threads, 0, rows, columns, partials, value);
    detail::add_partial_sums_of<sum>(on, pieces, columns, partials, detail::sums_at<T, 1>{{sums}});
}

}  // namespace snug::SNUG_TARGET::backend::cuda
