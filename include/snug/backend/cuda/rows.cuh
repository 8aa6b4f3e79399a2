// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cuda_runtime.h>

#include <algorithm>
#include <cstddef>
#include <snug/backend/cuda/launch.cuh>
#include <snug/backend/cuda/row_sizes.hpp>
#include <snug/backend/cuda/tag.hpp>
#include <snug/backend/cuda/team.cuh>
#include <snug/kernels/sinks.hpp>
#include <snug/ops/add_column_sums.hpp>
#include <snug/ops/add_rows.hpp>
#include <snug/ops/add_sum.hpp>
#include <snug/ops/for_each_element.hpp>
#include <snug/ops/for_each_row.hpp>
#include <snug/ops/for_each_row_with_column_sums.hpp>
#include <type_traits>

/// Bodies of the row, element and reduction operations. No sum depends on the device: how it is cut up follows from its length.
namespace snug::SNUG_TARGET::backend::cuda {

namespace detail {

/// Rows up to this wide are work for a warp; wider ones, and those of unknown width, for a block.
inline constexpr index_t widest_for_warp = 2048;
inline constexpr int warps_of_rows = 4;

template <index_t Width>
inline constexpr int threads_of_row = Width > 8192 ? 512 : 256;

constexpr unsigned pieces(index_t count, index_t size) {
    return static_cast<unsigned>((count + size - 1) / size);
}

template <class Body>
__global__ void __launch_bounds__(warps_of_rows* warp_width) row_for_each_warp(index_t rows, Body body) {
    auto const row = opaque(static_cast<index_t>(blockIdx.x) * warps_of_rows + threadIdx.x / warp_width);
    if (row < rows) body(warp_team{}, row);
}

template <int Threads, class Body>
__global__ void __launch_bounds__(Threads) row_for_each_block(Body body) {
    body(block_team<Threads>{}, opaque(blockIdx.x));
}

inline constexpr int element_threads = 256;
inline constexpr int elements_of_thread = 4;

template <class Body>
__global__ void __launch_bounds__(element_threads) element_for_each_thread(index_t count, Body body) {
    auto const first =
        static_cast<index_t>(blockIdx.x) * (element_threads * elements_of_thread) + threadIdx.x;
#pragma unroll
    for (int k = 0; k < elements_of_thread; ++k)
        if (auto const i = first + k * element_threads; i < count) body(i);
}

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

template <class S, class T, int Sums>
void add_partial_sums_of(tag on, index_t pieces, index_t columns, S const* partials, sums_at<T, Sums> sums) {
    launch(on, add_partial_sums<S, T, Sums>, dim3(detail::pieces(columns, warp_width), Sums),
           finishing_threads, 0, pieces, columns, partials, sums);
}

/// Adds rows of one key to the row of that key: the block of the first of them does it, the blocks of the others find an earlier
/// one and return. Nothing has to be sorted or kept; the work is rows × different keys comparisons.
template <class S, int Threads, class T, class From, class Key>
__global__ void __launch_bounds__(Threads) rows_of_a_key(From from, T* to, Key key) {
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
inline constexpr index_t smallest_partial = 4096;
constexpr index_t partials_of(index_t count) {
    return std::clamp((count + smallest_partial - 1) / smallest_partial, index_t{1}, ops::sum_partials);
}

/// Block b of B sums the b-th of B equal pieces; the sum is written to, or added to, place b.
template <bool Add, class Value>
__global__ void __launch_bounds__(partial_threads)
    partial_sums(index_t count, index_t piece, double* sums, Value value) {
    auto const first = static_cast<index_t>(blockIdx.x) * piece;
    auto const end = first + piece < count ? first + piece : count;
    double total = 0;
#pragma unroll 8
    for (auto i = first + threadIdx.x; i < end; i += partial_threads) total += static_cast<double>(value(i));
    total = combined_in_block<partial_threads>(total, plus{});
    if (threadIdx.x == 0) sums[blockIdx.x] = Add ? sums[blockIdx.x] + total : total;
}

struct element_of {
    double const* values;
    constexpr double operator()(index_t i) const { return values[i]; }
};

}  // namespace detail

/// `body(team, row)` is run by all lanes of a warp or all threads of a block.
template <index_t Width, class Body>
void for_each_row_on(tag on, std::integral_constant<index_t, Width>, index_t rows, Body const& body) {
    if (rows <= 0) return;
    if constexpr (Width > 0 && Width <= detail::widest_for_warp) {
        launch(on, detail::row_for_each_warp<Body>, detail::pieces(rows, detail::warps_of_rows),
               detail::warps_of_rows * warp_width, 0, rows, body);
    } else {
        constexpr int threads = detail::threads_of_row<Width>;
        launch(on, detail::row_for_each_block<threads, Body>, static_cast<unsigned>(rows), threads, 0, body);
    }
}

template <class Body>
void for_each_element_on(tag on, index_t count, Body const& body) {
    if (count <= 0) return;
    launch(on, detail::element_for_each_thread<Body>,
           detail::pieces(count, detail::element_threads * detail::elements_of_thread),
           detail::element_threads, 0, count, body);
}

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

/// Rows of one key are added in Sum and rounded once.
template <class Sum, class T, class From, class Key>
void add_rows_on(tag on, Sum, From from, T* to, Key const& key) {
    constexpr index_t groups = (From::width + detail::group_size - 1) / detail::group_size;
    constexpr int threads =
        static_cast<int>(std::clamp(round_up(groups, index_t{warp_width}), index_t{64}, index_t{512}));
    if (from.rows <= 0) return;
    launch(on, detail::rows_of_a_key<Sum, threads, T, From, Key>, static_cast<unsigned>(from.rows), threads,
           0, from, to, key);
}

template <class Value>
void add_sum_on(tag on, index_t count, double* partials, double* total, Value const& value) {
    if (count <= 0) return;
    auto const blocks = detail::partials_of(count);
    if (blocks == 1) {
        launch(on, detail::partial_sums<true, Value>, 1, detail::partial_threads, 0, count, count, total,
               value);
        return;
    }
    launch(on, detail::partial_sums<false, Value>, static_cast<unsigned>(blocks), detail::partial_threads, 0,
           count, (count + blocks - 1) / blocks, partials, value);
    launch(on, detail::partial_sums<true, detail::element_of>, 1, detail::partial_threads, 0, blocks, blocks,
           total, detail::element_of{partials});
}

}  // namespace snug::SNUG_TARGET::backend::cuda
