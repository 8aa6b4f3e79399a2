// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <snug/backend/cuda/gemm_lines.cuh>

/// The product of operands of any types: multiply-adds of Sum.
namespace snug::SNUG_TARGET::backend::cuda::detail {

template <class Sum>
struct scalar_tiling {
    static constexpr int threads = 256;
    static constexpr int edge = 64;  ///< rows and columns of a tile
    static constexpr int depth = 16;
    static constexpr int mine =
        edge * depth / threads;           ///< elements of an operand's tile that a thread brings
    static constexpr int row = edge + 4;  ///< of 16 bytes more, against conflicts of banks
};

/// A thread's share of the next tile of an operand, in registers until the tile before it is used up.
/// `Left` is the left operand's element: what a scheme decodes to is rounded to it as on tensor cores, when it has 16 bits.
template <class Sum, class Lines, class Left = typename Lines::element>
struct scalar_share {
    using tiling = scalar_tiling<Sum>;
    Sum values[tiling::mine];

    /// Position of my j-th element, (across, depth): neighbours in a line go to neighbouring threads.
    __device__ static int2 position(int j) {
        int const e = static_cast<int>(threadIdx.x) + j * tiling::threads;
        if constexpr (Lines::along_depth) return {e / tiling::depth, e % tiling::depth};
        else return {e % tiling::edge, e / tiling::edge};
    }
    __device__ void fetch(Lines const& l, index_t first_across, index_t first_depth, index_t end_depth,
                          float const* table) {
#pragma unroll
        for (int j = 0; j < tiling::mine; ++j) {
            auto const p = position(j);
            index_t const i = first_across + p.x, k = first_depth + p.y;
            bool const inside = i < across(l) && k < end_depth;
            if constexpr (Lines::along_depth) values[j] = inside ? number(l.value(i, k, table)) : Sum(0);
            else values[j] = inside ? number(l.value(k, i, table)) : Sum(0);
        }
    }
    __device__ static Sum number(typename Lines::element value) {
        if constexpr (is_quantized<Lines> && sizeof(Left) == 2)
            return static_cast<Sum>(static_cast<float>(rounded_to<Left>(value)));
        else return static_cast<Sum>(value);
    }
    __device__ void put(Sum* tile) const {
#pragma unroll
        for (int j = 0; j < tiling::mine; ++j) {
            auto const p = position(j);
            tile[p.y * tiling::row + p.x] = values[j];
        }
    }
};

template <class Sum, class Left, class Right>
__device__ void scalar_accumulate(Sum (&sums)[4][4], factors<Left, Right> const& f, index_t row,
                                  index_t column, Sum* a_tile, Sum* b_tile, float* table) {
    using tiling = scalar_tiling<Sum>;
    __syncthreads();
    copy_table(f.b, table, static_cast<int>(threadIdx.x), tiling::threads);
    __syncthreads();
    index_t const end = f.b.end_depth(column, column + tiling::edge);
    index_t const begin = f.b.first_depth(column, column + tiling::edge);
    if (begin >= end) return;
    int const first_row = static_cast<int>(threadIdx.x) / 16 * 4;
    int const first_column = static_cast<int>(threadIdx.x) % 16 * 4;
    scalar_share<Sum, Left> a;
    scalar_share<Sum, Right, typename Left::element> b;
    a.fetch(f.a, row, begin, end, nullptr);
    b.fetch(f.b, column, begin, end, table);
    for (index_t k = begin; k < end; k += tiling::depth) {
        a.put(a_tile);
        b.put(b_tile);
        __syncthreads();
        if (k + tiling::depth < end) {
            a.fetch(f.a, row, k + tiling::depth, end, nullptr);
            b.fetch(f.b, column, k + tiling::depth, end, table);
        }
#pragma unroll
        for (int l = 0; l < tiling::depth; ++l) {
            Sum left[4], right[4];
#pragma unroll
            for (int i = 0; i < 4; ++i) left[i] = a_tile[l * tiling::row + first_row + i];
#pragma unroll
            for (int j = 0; j < 4; ++j) right[j] = b_tile[l * tiling::row + first_column + j];
#pragma unroll
            for (int i = 0; i < 4; ++i)
#pragma unroll
                for (int j = 0; j < 4; ++j) sums[i][j] += left[i] * right[j];
        }
        __syncthreads();
    }
}

template <class Sum, class Store, class... Factors>
__global__ void __launch_bounds__(256)
    scalar_gemm(int tile_rows, int tile_columns, index_t rows, index_t columns, Store store, Factors... f) {
    using tiling = scalar_tiling<Sum>;
    alignas(16) __shared__ Sum a_tile[tiling::depth * tiling::row];
    alignas(16) __shared__ Sum b_tile[tiling::depth * tiling::row];
    __shared__ float table[largest_table(static_cast<typename Factors::right const*>(nullptr)...)];
    auto const place = place_of_tile(static_cast<int>(blockIdx.x), tile_rows, tile_columns);
    index_t const row = index_t{place.row} * tiling::edge, column = index_t{place.column} * tiling::edge;
    Sum sums[4][4] = {};
    (scalar_accumulate(sums, f, row, column, a_tile, b_tile, table), ...);
    index_t const my_row = row + static_cast<int>(threadIdx.x) / 16 * 4;
    index_t const my_column = column + static_cast<int>(threadIdx.x) % 16 * 4;
#pragma unroll
    for (int i = 0; i < 4; ++i)
#pragma unroll
        for (int j = 0; j < 4; ++j)
            if (my_row + i < rows && my_column + j < columns) store(my_row + i, my_column + j, sums[i][j]);
}

}  // namespace snug::SNUG_TARGET::backend::cuda::detail
