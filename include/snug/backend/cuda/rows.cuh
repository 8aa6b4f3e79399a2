// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cuda_runtime.h>

#include <algorithm>
#include <snug/backend/cuda/launch.cuh>
#include <snug/backend/cuda/tag.hpp>
#include <snug/backend/cuda/team.cuh>
#include <snug/memory/tensor.hpp>
#include <snug/ops/backend.hpp>
#include <type_traits>

/// Bodies of the row, element and reduction operations. No sum depends on the device: how it is cut up follows from its length.
namespace snug::backend::cuda {

namespace detail {

/// Rows up to this wide are work for a warp; wider ones, and those of unknown width, for a block.
inline constexpr index widest_for_warp = 2048;
inline constexpr int warps_of_rows = 4;

template <index Width>
inline constexpr int threads_of_row = Width > 8192 ? 512 : 256;

constexpr unsigned pieces(index count, index size) {
    return static_cast<unsigned>((count + size - 1) / size);
}

template <class Body>
__global__ void __launch_bounds__(warps_of_rows* warp_width) row_for_each_warp(index rows, Body body) {
    auto const row = opaque(static_cast<index>(blockIdx.x) * warps_of_rows + threadIdx.x / warp_width);
    if (row < rows) body(warp_team{}, row);
}

template <int Threads, class Body>
__global__ void __launch_bounds__(Threads) row_for_each_block(Body body) {
    body(block_team<Threads>{}, opaque(blockIdx.x));
}

inline constexpr int element_threads = 256;
inline constexpr int elements_of_thread = 4;

template <class Body>
__global__ void __launch_bounds__(element_threads) element_for_each_thread(index count, Body body) {
    auto const first = static_cast<index>(blockIdx.x) * (element_threads * elements_of_thread) + threadIdx.x;
#pragma unroll
    for (int k = 0; k < elements_of_thread; ++k)
        if (auto const i = first + k * element_threads; i < count) body(i);
}

/// Columns of one block of `column_sums`: a sector of memory of the 16-bit formats, read by two lanes.
inline constexpr int sum_columns = 2 * group_size;
inline constexpr int sum_threads = 512;
inline constexpr int rows_in_flight = 4;

/// Each thread sums 8 neighbouring columns of every 256th row; then lanes, then warps are added up.
template <class S, class T, class Value>
__global__ void __launch_bounds__(sum_threads) column_sums(index rows, index columns, T* sums, Value value) {
    constexpr int rows_at_once = sum_threads / 2;
    auto const column = opaque(static_cast<index>(blockIdx.x) * 2 + threadIdx.x % 2) * group_size;
    S total[group_size] = {};
    if (column + group_size <= columns) {
#pragma unroll rows_in_flight
        for (index i = threadIdx.x / 2; i < rows; i += rows_at_once) {
            auto const row = opaque(i);
#pragma unroll
            for (int k = 0; k < group_size; ++k) total[k] += static_cast<S>(value(row, column + k));
        }
    } else {
        for (index row = threadIdx.x / 2; row < rows; row += rows_at_once)
#pragma unroll
            for (int k = 0; k < group_size; ++k)
                if (column + k < columns) total[k] += static_cast<S>(value(row, column + k));
    }
    constexpr int warps = sum_threads / warp_width;
    __shared__ S of_warp[warps][sum_columns];
#pragma unroll
    for (int k = 0; k < group_size; ++k) {
#pragma unroll
        for (int bit = warp_width / 2; bit > 1; bit /= 2)
            total[k] += __shfl_xor_sync(full_warp, total[k], bit);
        if (threadIdx.x % warp_width < 2)
            of_warp[threadIdx.x / warp_width][threadIdx.x % warp_width * group_size + k] = total[k];
    }
    __syncthreads();
    auto const mine = static_cast<index>(blockIdx.x) * sum_columns + threadIdx.x;
    if (threadIdx.x >= sum_columns || mine >= columns) return;
    S all = of_warp[0][threadIdx.x];
#pragma unroll
    for (int i = 1; i < warps; ++i) all += of_warp[i][threadIdx.x];
    add_to(sums[mine], all);
}

/// Adds rows of one key to the row of that key: the block of the first of them does it, the blocks of the others find an earlier
/// one and return. Nothing has to be sorted or kept; the work is rows × different keys comparisons.
template <class S, int Threads, class T, class From, class Key>
__global__ void __launch_bounds__(Threads) rows_of_a_key(From from, T* to, Key key) {
    constexpr int warps = Threads / warp_width;
    constexpr index width = From::width;
    __shared__ unsigned equal[warps];
    auto const mine = static_cast<index>(blockIdx.x);
    auto const wanted = key(mine);
    // All threads learn which of the rows first, first + 1, ... first + Threads - 1 have the key.
    auto const compare = [&](index first, index end) {
        auto const row = first + threadIdx.x;
        auto const votes = __ballot_sync(full_warp, row < end && key(row) == wanted);
        if (threadIdx.x % warp_width == 0) equal[threadIdx.x / warp_width] = votes;
        __syncthreads();
        unsigned any = 0;
#pragma unroll
        for (int w = 0; w < warps; ++w) any |= equal[w];
        return any != 0;
    };
    for (index first = 0; first < mine; first += Threads) {
        if (compare(first, mine)) return;
        __syncthreads();
    }
    for (index slice = 0; slice < width; slice += Threads * group_size) {
        auto const column = slice + opaque(threadIdx.x) * group_size;
        auto* const target = aligned<width>(to) + opaque(wanted) * width + column;
        S total[group_size];
#pragma unroll
        for (int k = 0; k < group_size; ++k) total[k] = column + k < width ? static_cast<S>(target[k]) : S{};
        for (index first = mine; first < from.rows; first += Threads) {
            if (compare(first, from.rows))
                for (int w = 0; w < warps; ++w)
                    for (unsigned left = equal[w]; left != 0; left &= left - 1) {
                        auto const row = first + w * warp_width + __ffs(static_cast<int>(left)) - 1;
                        auto const* const values =
                            aligned<From::stride>(from.data) + opaque(row) * From::stride + column;
                        if (column + group_size <= width) {
#pragma unroll
                            for (int k = 0; k < group_size; ++k) total[k] += static_cast<S>(values[k]);
                        } else {
#pragma unroll
                            for (int k = 0; k < group_size; ++k)
                                if (column + k < width) total[k] += static_cast<S>(values[k]);
                        }
                    }
            __syncthreads();
        }
#pragma unroll
        for (int k = 0; k < group_size; ++k)
            if (column + k < width) target[k] = static_cast<T>(total[k]);
    }
}

inline constexpr int partial_threads = 256;
/// Fewer elements are not worth a block.
inline constexpr index smallest_partial = 4096;
constexpr index partials_of(index count) {
    return std::clamp((count + smallest_partial - 1) / smallest_partial, index{1}, ops::sum_partials);
}

/// Block b of B sums the b-th of B equal pieces; the sum is written to, or added to, place b.
template <bool Add, class Value>
__global__ void __launch_bounds__(partial_threads)
    partial_sums(index count, index piece, double* sums, Value value) {
    auto const first = static_cast<index>(blockIdx.x) * piece;
    auto const end = first + piece < count ? first + piece : count;
    double total = 0;
#pragma unroll 8
    for (auto i = first + threadIdx.x; i < end; i += partial_threads) total += static_cast<double>(value(i));
    total = combined_in_block<partial_threads>(total, plus{});
    if (threadIdx.x == 0) sums[blockIdx.x] = Add ? sums[blockIdx.x] + total : total;
}

struct element_of {
    double const* values;
    constexpr double operator()(index i) const { return values[i]; }
};

}  // namespace detail

/// `body(team, row)` is run by all lanes of a warp or all threads of a block.
template <index Width, class Body>
void for_each_row_on(tag, std::integral_constant<index, Width>, index rows, Body const& body) {
    if (rows <= 0) return;
    if constexpr (Width > 0 && Width <= detail::widest_for_warp) {
        launch(detail::row_for_each_warp<Body>, detail::pieces(rows, detail::warps_of_rows),
               detail::warps_of_rows * warp_width, 0, rows, body);
    } else {
        constexpr int threads = detail::threads_of_row<Width>;
        launch(detail::row_for_each_block<threads, Body>, static_cast<unsigned>(rows), threads, 0, body);
    }
}

template <class Body>
void for_each_element_on(tag, index count, Body const& body) {
    if (count <= 0) return;
    launch(detail::element_for_each_thread<Body>,
           detail::pieces(count, detail::element_threads * detail::elements_of_thread),
           detail::element_threads, 0, count, body);
}

/// One pass: nothing has to be kept. Fast where `value` reads aligned rows (`snug::aligned`): then 8 columns are one access.
template <class T, class Value>
void add_column_sums_on(tag, index rows, index columns, T* sums, Value const& value) {
    using sum = std::conditional_t<std::is_same_v<T, double>, double, float>;
    if (rows <= 0 || columns <= 0) return;
    launch(detail::column_sums<sum, T, Value>, detail::pieces(columns, detail::sum_columns),
           detail::sum_threads, 0, rows, columns, sums, value);
}

/// Rows of one key are added in Sum and rounded once.
template <class Sum, class T, class From, class Key>
void add_rows_on(tag, Sum, From from, T* to, Key const& key) {
    constexpr index groups = (From::width + detail::group_size - 1) / detail::group_size;
    constexpr int threads =
        static_cast<int>(std::clamp(round_up(groups, index{warp_width}), index{64}, index{512}));
    if (from.rows <= 0) return;
    launch(detail::rows_of_a_key<Sum, threads, T, From, Key>, static_cast<unsigned>(from.rows), threads, 0,
           from, to, key);
}

template <class Value>
void add_sum_on(tag, index count, double* partials, double* total, Value const& value) {
    if (count <= 0) return;
    auto const blocks = detail::partials_of(count);
    if (blocks == 1) {
        launch(detail::partial_sums<true, Value>, 1, detail::partial_threads, 0, count, count, total, value);
        return;
    }
    launch(detail::partial_sums<false, Value>, static_cast<unsigned>(blocks), detail::partial_threads, 0,
           count, (count + blocks - 1) / blocks, partials, value);
    launch(detail::partial_sums<true, detail::element_of>, 1, detail::partial_threads, 0, blocks, blocks,
           total, detail::element_of{partials});
}

}  // namespace snug::backend::cuda
