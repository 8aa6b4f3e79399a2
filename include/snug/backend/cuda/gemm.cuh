// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cuda_runtime.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <snug/backend/cuda/decode.cuh>
#include <snug/backend/cuda/intrinsics.cuh>
#include <snug/backend/cuda/launch.cuh>
#include <snug/memory/tensor.hpp>
#include <snug/ops/backend.hpp>
#include <snug/precision/bf16.hpp>
#include <snug/precision/fp16.hpp>
#include <snug/quantization/matrix.hpp>
#include <tuple>
#include <type_traits>
#include <utility>

/// snug's own product: any number of products of any operands summed in registers, any store. The order of a sum depends on
/// the shape alone, so results are the same bits every time.
namespace snug::backend::cuda {

namespace detail {

/// What an operand of a kernel is. Its memory is lines of `length` elements, along the depth of the product (`along_depth`) or
/// across it; left operands lie along it as they are, right ones when they are transposed. `value(line, i, table)` is one
/// element. Where `copies`, `chunk(line, i)` points to 8 elements of `element` that follow each other, or to null for zeros.
template <class T, index_t Width, index_t Stride, bool AlongDepth>
struct plain_lines {
    using element = T;
    static constexpr bool along_depth = AlongDepth;
    static constexpr index_t length = Width;
    static constexpr index_t known_lines = 0;
    static constexpr bool copies = Width % 8 == 0 && Stride % 8 == 0 && sizeof(T) == 2;
    static constexpr int table_size = 0;
    static constexpr int at_once = 0;

    T const* data;
    index_t lines;

    __device__ bool is_aligned() const { return reinterpret_cast<std::uintptr_t>(data) % 16 == 0; }
    __device__ T const* chunk(index_t line, index_t i) const { return data + line * Stride + i; }
    __device__ T value(index_t line, index_t i, float const*) const { return data[line * Stride + i]; }
    __device__ float const* numbers() const { return nullptr; }
    constexpr index_t depth() const { return AlongDepth ? length : lines; }
    constexpr index_t first_depth(index_t, index_t) const { return 0; }
    constexpr index_t end_depth(index_t, index_t) const { return depth(); }
};

template <class Scheme, index_t Rows, index_t Width, bool AlongDepth>
struct quantized_lines {
    using element = float;
    using from = decoder<Scheme>;
    static constexpr bool along_depth = AlongDepth;
    static constexpr index_t length = Width;
    static constexpr index_t lines = Rows, known_lines = Rows;
    static constexpr bool copies = false;
    static constexpr int table_size = from::table_size;
    /// Those of a line never share a byte with another line's.
    static constexpr int at_once = Width % 16 == 0                       ? from::at_once
                                   : Width % 8 == 0 && from::at_once > 0 ? 8
                                                                         : 0;

    typename Scheme::view stored;

    __device__ float value(index_t line, index_t i, float const* table) const {
        return from::value(stored, line * Width + i, table);
    }
    __device__ float const* numbers() const { return from::numbers(stored); }
    static constexpr index_t depth() { return AlongDepth ? Width : Rows; }
    constexpr index_t first_depth(index_t, index_t) const { return 0; }
    constexpr index_t end_depth(index_t, index_t) const { return depth(); }
};

/// See snug::block_diagonal: line i is column i of the product.
template <class T, class Blocks, index_t Rank>
struct block_lines {
    using element = T;
    static constexpr auto blocks = static_cast<std::size_t>(Blocks::blocks);
    static constexpr bool along_depth = true;
    static constexpr index_t length = static_cast<index_t>(Blocks::blocks) * Rank;
    static constexpr index_t lines = Blocks::width, known_lines = Blocks::width;
    static constexpr bool copies = Rank % 8 == 0 && sizeof(T) == 2;
    static constexpr int table_size = 0;
    static constexpr int at_once = 0;

    T const* data;

    __device__ bool is_aligned() const { return reinterpret_cast<std::uintptr_t>(data) % 16 == 0; }
    /// Element (line, i), or null where it is zero.
    __device__ T const* chunk(index_t line, index_t i) const {
        T const* result = nullptr;
        index_t before = 0;
        for_each_block([&](index_t which, index_t first, index_t count) {
            auto const k = i - which * Rank;
            if (line >= first && line < first + count && k >= 0 && k < Rank)
                result = data + (before + line - first) * Rank + k;
            before += count;
        });
        return result;
    }
    __device__ T value(index_t line, index_t i, float const*) const {
        auto const* const at = chunk(line, i);
        return at ? *at : T(0.0f);
    }
    __device__ float const* numbers() const { return nullptr; }
    static constexpr index_t depth() { return length; }
    /// Depths at which a column of [first, end) is not zero.
    __device__ index_t first_depth(index_t column, index_t) const {
        index_t result = 0;
        for_each_block([&](index_t which, index_t first, index_t count) {
            if (first + count <= column) result = (which + 1) * Rank;
        });
        return result;
    }
    __device__ index_t end_depth(index_t, index_t end_column) const {
        index_t result = 0;
        for_each_block([&](index_t which, index_t first, index_t) {
            if (first < end_column) result = (which + 1) * Rank;
        });
        return result;
    }

  private:
    /// f(block, first column, columns), unrolled: device code cannot index the arrays of `Blocks`.
    template <class F>
    __device__ static void for_each_block(F const& f) {
        each(f, std::make_index_sequence<blocks>{});
    }
    template <class F, std::size_t... I>
    __device__ static void each(F const& f, std::index_sequence<I...>) {
        (f(static_cast<index_t>(I), std::integral_constant<index_t, Blocks::first[I]>::value,
           std::integral_constant<index_t, Blocks::count[I]>::value),
         ...);
    }
};

template <class Lines>
inline constexpr bool is_quantized = false;
template <class Scheme, index_t Rows, index_t Width, bool AlongDepth>
inline constexpr bool is_quantized<quantized_lines<Scheme, Rows, Width, AlongDepth>> = true;

/// A 16-bit number from a float.
template <class T>
__device__ __forceinline__ T rounded_to(float value) {
    return T::from_bits(static_cast<std::uint16_t>(packed<T>(value, 0.0f)));
}

/// Eight of them, of what a decoder has read, from number `first` on.
template <class T, class From, class Some>
__device__ __forceinline__ uint4 eight_rounded_to(Some const& some, int first, float const* table) {
    auto const pair = [&](int i) {
        return packed<T>(From::number(some, first + i, table), From::number(some, first + i + 1, table));
    };
    return {pair(0), pair(2), pair(4), pair(6)};
}

template <class T, index_t Width, index_t Stride>
constexpr auto left_lines(matrix<T, Width, Stride> a) {
    return plain_lines<std::remove_const_t<T>, Width, Stride, true>{a.data, a.rows};
}
template <class T, index_t Width, index_t Stride>
constexpr auto left_lines(transposed<matrix<T, Width, Stride>> a) {
    return plain_lines<std::remove_const_t<T>, Width, Stride, false>{a.of.data, a.of.rows};
}
template <class T, index_t Width, index_t Stride>
constexpr auto right_lines(matrix<T, Width, Stride> b) {
    return plain_lines<std::remove_const_t<T>, Width, Stride, false>{b.data, b.rows};
}
template <class T, index_t Width, index_t Stride>
constexpr auto right_lines(transposed<matrix<T, Width, Stride>> b) {
    return plain_lines<std::remove_const_t<T>, Width, Stride, true>{b.of.data, b.of.rows};
}
template <class Scheme, index_t Rows, index_t Width>
constexpr auto right_lines(quantized_matrix<Scheme, Rows, Width> b) {
    return quantized_lines<Scheme, Rows, Width, false>{b.stored};
}
template <class Scheme, index_t Rows, index_t Width>
constexpr auto right_lines(transposed<quantized_matrix<Scheme, Rows, Width>> b) {
    return quantized_lines<Scheme, Rows, Width, true>{b.of.stored};
}
template <class T, class Blocks, index_t Rank>
constexpr auto right_lines(block_diagonal<T, Blocks, Rank> b) {
    return block_lines<std::remove_const_t<T>, Blocks, Rank>{b.data};
}

/// One product, as kernels take it.
template <class Left, class Right>
struct factors {
    using left = Left;
    using right = Right;
    Left a;
    Right b;
};
template <class A, class B>
constexpr auto as_factors(product<A, B> p) {
    auto const a = left_lines(p.a);
    auto const b = right_lines(p.b);
    return factors<std::remove_const_t<decltype(a)>, std::remove_const_t<decltype(b)>>{a, b};
}

/// Rows of the left operand's product, and columns of the right one's: lengths across the depth.
template <class Lines>
constexpr index_t across(Lines const& l) {
    return Lines::along_depth ? l.lines : Lines::length;
}

/// Blocks of a grid go through `group` rows of tiles together, so that tiles which run at the same time share operands.
struct tile_place {
    int row, column;
};
__device__ __forceinline__ tile_place place_of_tile(int block, int tile_rows, int tile_columns) {
    constexpr int group = 8;
    int const in_group = group * tile_columns;
    int const first = block / in_group * group;
    int const rows = min(group, tile_rows - first);
    int const rest = block % in_group;
    return {first + rest % rows, rest / rows};
}

template <class Lines>
__device__ void copy_table(Lines const& l, float* table, int thread, int threads) {
    if constexpr (Lines::table_size > 0) {
        auto const* const numbers = l.numbers();
        for (int i = thread; i < Lines::table_size; i += threads) table[i] = numbers[i];
    }
}

// --- Any types: multiply-adds of Sum ------------------------------------------------------------------------------------

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

template <class... Lines>
constexpr int largest_table(Lines const*...) {
    int result = 1;
    ((result = Lines::table_size > result ? Lines::table_size : result), ...);
    return result;
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

// --- bf16 and fp16: tensor cores -----------------------------------------------------------------------------------------

/// A block computes 128 x `Columns`; each warp 64 x 32 of it.
template <int Columns>
struct tensor_tiling {
    static constexpr int rows = 128;
    static constexpr int columns = Columns;
    static constexpr int depth = 32;
    static constexpr int stages = 3;
    static constexpr int warp_rows = 64, warp_columns = 32;
    static constexpr int warps = rows / warp_rows * (columns / warp_columns);
    static constexpr int threads = warps * 32;
    static constexpr int blocks_per_processor = Columns == 128 ? 2 : 3;
    static constexpr int stage_elements = (rows + columns) * depth;
    /// The results of a warp pass through shared memory, 16 rows at a time, to be stored in rows.
    static constexpr int result_row = warp_columns + 4;
    static constexpr std::size_t stage_bytes = static_cast<std::size_t>(stages * stage_elements) * 2;
    static constexpr std::size_t result_bytes = static_cast<std::size_t>(warps * 16 * result_row) * 4;
    static constexpr std::size_t shared_bytes(int table_size) {
        return std::max(stage_bytes, result_bytes) + static_cast<std::size_t>(table_size) * 4;
    }
};

/// An operand's tile of `Across` x 32 in shared memory: lines as in memory, in chunks of 8 elements (16 bytes) that are
/// permuted so that eight lines' chunks of one position lie in different banks.
template <class T, class Lines, int Across, int Threads>
struct tensor_tile {
    static constexpr int depth = 32;
    static constexpr int line_chunks = Lines::along_depth ? depth / 8 : Across / 8;
    static constexpr int lines = Lines::along_depth ? Across : depth;
    static constexpr int mine = lines * line_chunks / Threads;  ///< chunks that a thread brings
    static_assert(mine * Threads == lines * line_chunks);

    __device__ static int offset(int line, int chunk) {
        int const turned = Lines::along_depth ? chunk ^ (line >> 1 & 3) : chunk ^ (line & 7);
        return (line * line_chunks + turned) * 8;
    }

    struct position {
        int line, chunk;
    };
    /// A thread's chunks: of a quantized operand neighbours, so that they share a scale.
    __device__ static position mine_at(int j) {
        int const c = Lines::at_once > 0 ? static_cast<int>(threadIdx.x) * mine + j
                                         : static_cast<int>(threadIdx.x) + j * Threads;
        return {c / line_chunks, c % line_chunks};
    }

    /// Where in the operand a tile begins.
    struct origin {
        int line, element;
    };
    __device__ static origin origin_of(int first_across, int first_depth) {
        return Lines::along_depth ? origin{first_across, first_depth} : origin{first_depth, first_across};
    }

    /// What a thread keeps of a quantized tile between reading and decoding: `pieces` of `piece_chunks`.
    static constexpr int piece_chunks = Lines::at_once == 16 && mine % 2 == 0 ? 2 : 1;
    static constexpr int pieces = mine / piece_chunks;
    struct nothing {};
    template <class L, bool Some = (L::at_once > 0)>
    struct kept_of {
        using type = nothing;
    };
    template <class L>
    struct kept_of<L, true> {
        using type = typename L::from::template some<piece_chunks * 8>;
    };
    using kept = typename kept_of<Lines>::type;

    /// Begins to bring a tile; `finish` completes it. `aligned` is the operand's `is_aligned`.
    __device__ static void start(T* tile, Lines const& l, int first_across, int first_depth, bool aligned,
                                 float const* table, kept (&k)[pieces]) {
        auto const from = origin_of(first_across, first_depth);
        if constexpr (Lines::at_once > 0) {
#pragma unroll
            for (int j = 0; j < pieces; ++j) {
                auto const p = mine_at(j * piece_chunks);
                int const line = from.line + p.line, i = from.element + p.chunk * 8;
                if (line < l.lines && i < Lines::length)
                    Lines::from::read(k[j], l.stored, line * Lines::length + i);
            }
        } else if (Lines::copies && aligned) {
            if constexpr (Lines::copies) {
#pragma unroll
                for (int j = 0; j < mine; ++j) {
                    auto const p = mine_at(j);
                    int const line = from.line + p.line, i = from.element + p.chunk * 8;
                    auto const* const source =
                        line < l.lines && i < Lines::length ? l.chunk(line, i) : nullptr;
                    copy_async_16(tile + offset(p.line, p.chunk), source ? source : l.data,
                                  source != nullptr);
                }
            }
        } else {
            one_by_one(tile, l, from, table);
        }
    }

    __device__ static void finish(T* tile, Lines const& l, int first_across, int first_depth,
                                  float const* table, kept const (&k)[pieces]) {
        if constexpr (Lines::at_once > 0) {
            auto const from = origin_of(first_across, first_depth);
#pragma unroll
            for (int j = 0; j < mine; ++j) {
                auto const p = mine_at(j);
                uint4 eight{0, 0, 0, 0};
                if (from.line + p.line < l.lines && from.element + p.chunk * 8 < Lines::length)
                    eight = eight_rounded_to<T, typename Lines::from>(k[j / piece_chunks],
                                                                      j % piece_chunks * 8, table);
                *reinterpret_cast<uint4*>(tile + offset(p.line, p.chunk)) = eight;
            }
        }
    }

  private:
    __device__ static void one_by_one(T* tile, Lines const& l, origin from, float const* table) {
#pragma unroll 1
        for (int j = 0; j < mine; ++j) {
            auto const p = mine_at(j);
            int const line = from.line + p.line, first = from.element + p.chunk * 8;
            T* const to = tile + offset(p.line, p.chunk);
#pragma unroll 1
            for (int i = 0; i < 8; ++i) {
                bool const inside = line < l.lines && first + i < Lines::length;
                to[i] = inside ? converted(l.value(line, first + i, table)) : T::from_bits(0);
            }
        }
    }
    __device__ static T converted(T value) { return value; }
    __device__ static T converted(float value) requires(!std::is_same_v<typename Lines::element, T>) {
        return rounded_to<T>(value);
    }
};

/// Fragments of 16 x 16 elements of the left operand, from row `row` and depth `k` of its tile.
template <class Tile, class T, class Lines>
__device__ __forceinline__ void load_left(std::uint32_t (&r)[4], T const* tile, int row, int k,
                                          Lines const*) {
    int const lane = static_cast<int>(threadIdx.x) % 32;
    if constexpr (Lines::along_depth)
        load_matrices(r, tile + Tile::offset(row + lane % 16, k / 8 + lane / 16));
    else
        load_matrices_transposed(r,
                                 tile + Tile::offset(k + lane % 8 + lane / 16 * 8, row / 8 + lane / 8 % 2));
}

/// Fragments of 16 (depth) x 16 (columns) elements of the right operand: two neighbours of 8 columns.
template <class Tile, class T, class Lines>
__device__ __forceinline__ void load_right(std::uint32_t (&low)[2], std::uint32_t (&high)[2], T const* tile,
                                           int column, int k, Lines const*) {
    int const lane = static_cast<int>(threadIdx.x) % 32;
    std::uint32_t r[4];
    if constexpr (Lines::along_depth)
        load_matrices(r, tile + Tile::offset(column + lane % 8 + lane / 16 * 8, k / 8 + lane / 8 % 2));
    else load_matrices_transposed(r, tile + Tile::offset(k + lane % 16, column / 8 + lane / 16));
    low[0] = r[0], low[1] = r[1], high[0] = r[2], high[1] = r[3];
}

/// Registers of a warp's 64 x 32 sums.
using tensor_sums = float[4][4][4];

template <class T, class Tiling, class Left, class Right>
__device__ __forceinline__ void tensor_accumulate(tensor_sums& sums, factors<Left, Right> const& f, int row,
                                                  int column, T* shared, float* table) {
    using a_tile = tensor_tile<T, Left, Tiling::rows, Tiling::threads>;
    using b_tile = tensor_tile<T, Right, Tiling::columns, Tiling::threads>;
    constexpr int stages = Tiling::stages;
    // Whole steps of the depth; what lies outside the operands comes as zeros.
    int const begin = static_cast<int>(f.b.first_depth(column, column + Tiling::columns)) / Tiling::depth;
    int const end = (static_cast<int>(f.b.end_depth(column, column + Tiling::columns)) + Tiling::depth - 1) /
                    Tiling::depth;
    __syncthreads();
    if constexpr (Right::table_size > 0) {
        copy_table(f.b, table, static_cast<int>(threadIdx.x), Tiling::threads);
        __syncthreads();
    }
    bool a_aligned = false, b_aligned = false;
    if constexpr (Left::copies) a_aligned = f.a.is_aligned();
    if constexpr (Right::copies) b_aligned = f.b.is_aligned();
    typename a_tile::kept a_kept[a_tile::pieces];
    typename b_tile::kept b_kept[b_tile::pieces];
    auto const a_at = [&](int stage) { return shared + stage * Tiling::stage_elements; };
    auto const b_at = [&](int stage) { return a_at(stage) + Tiling::rows * Tiling::depth; };
    auto const start = [&](int stage, int step) {
        a_tile::start(a_at(stage), f.a, row, step * Tiling::depth, a_aligned, nullptr, a_kept);
        b_tile::start(b_at(stage), f.b, column, step * Tiling::depth, b_aligned, table, b_kept);
    };
    auto const finish = [&](int stage, int step) {
        b_tile::finish(b_at(stage), f.b, column, step * Tiling::depth, table, b_kept);
    };
    int const warp = static_cast<int>(threadIdx.x) / 32;
    int const warp_row = warp % (Tiling::rows / Tiling::warp_rows) * Tiling::warp_rows;
    int const warp_column = warp / (Tiling::rows / Tiling::warp_rows) * Tiling::warp_columns;

#pragma unroll 1
    for (int s = 0; s < stages - 1; ++s) {
        if (begin + s < end) {
            start(s, begin + s);
            finish(s, begin + s);
        }
        commit_copies();
    }
    int stage = 0;
#pragma unroll 1
    for (int step = begin; step < end; ++step) {
        wait_copies<stages - 2>();
        __syncthreads();
        int const next = step + stages - 1;
        int const next_stage = stage == 0 ? stages - 1 : stage - 1;
        if (next < end) start(next_stage, next);
        commit_copies();
#pragma unroll
        for (int k = 0; k < Tiling::depth; k += 16) {
            std::uint32_t a[4][4], b[4][2];
#pragma unroll
            for (int i = 0; i < 4; ++i)
                load_left<a_tile>(a[i], a_at(stage), warp_row + i * 16, k, static_cast<Left const*>(nullptr));
#pragma unroll
            for (int j = 0; j < 4; j += 2)
                load_right<b_tile>(b[j], b[j + 1], b_at(stage), warp_column + j * 8, k,
                                   static_cast<Right const*>(nullptr));
#pragma unroll
            for (int i = 0; i < 4; ++i)
#pragma unroll
                for (int j = 0; j < 4; ++j) multiply_16x8x16<T>(sums[i][j], a[i], b[j]);
        }
        if (next < end) finish(next_stage, next);
        stage = stage == stages - 1 ? 0 : stage + 1;
    }
    wait_copies<0>();
}

/// Rows of 32 results at a time, so that neighbouring lanes store neighbouring columns.
template <class Tiling, class Store>
__device__ __forceinline__ void tensor_store(tensor_sums const& sums, float* shared, index_t row,
                                             index_t column, index_t rows, index_t columns,
                                             Store const& store) {
    int const warp = static_cast<int>(threadIdx.x) / 32, lane = static_cast<int>(threadIdx.x) % 32;
    float* const mine = shared + warp * 16 * Tiling::result_row;
    index_t const first_row = row + warp % (Tiling::rows / Tiling::warp_rows) * Tiling::warp_rows;
    index_t const my_column =
        column + warp / (Tiling::rows / Tiling::warp_rows) * Tiling::warp_columns + lane;
#pragma unroll
    for (int i = 0; i < 4; ++i) {
        __syncwarp();
#pragma unroll
        for (int j = 0; j < 4; ++j) {
            float* const to = mine + lane / 4 * Tiling::result_row + j * 8 + lane % 4 * 2;
            to[0] = sums[i][j][0], to[1] = sums[i][j][1];
            to[8 * Tiling::result_row] = sums[i][j][2], to[8 * Tiling::result_row + 1] = sums[i][j][3];
        }
        __syncwarp();
#pragma unroll
        for (int r = 0; r < 16; ++r) {
            index_t const my_row = first_row + i * 16 + r;
            if (my_row < rows && my_column < columns)
                store(my_row, my_column, mine[r * Tiling::result_row + lane]);
        }
    }
}

template <class T, class Tiling, class Store, class... Factors>
__global__ void __launch_bounds__(Tiling::threads, Tiling::blocks_per_processor)
    tensor_gemm(int tile_rows, int tile_columns, index_t rows, index_t columns, Store store, Factors... f) {
    auto* const shared = dynamic_shared();
    auto* const table =
        reinterpret_cast<float*>(shared + std::max(Tiling::stage_bytes, Tiling::result_bytes));
    auto const place = place_of_tile(static_cast<int>(blockIdx.x), tile_rows, tile_columns);
    int const row = place.row * Tiling::rows, column = place.column * Tiling::columns;
    tensor_sums sums = {};
    (tensor_accumulate<T, Tiling>(sums, f, row, column, reinterpret_cast<T*>(shared), table), ...);
    __syncthreads();
    tensor_store<Tiling>(sums, reinterpret_cast<float*>(shared), row, column, rows, columns, store);
}

/// Whether tensor cores do these products: left operands of one 16-bit type, right ones of the same or decoded to it.
template <class T, class Lines>
inline constexpr bool is_of = is_quantized<Lines> || std::is_same_v<typename Lines::element, T>;

template <class First, class... Further>
constexpr bool fits_tensor_cores() {
    using T = typename First::left::element;
    if constexpr (std::is_same_v<T, bf16> || std::is_same_v<T, fp16>)
        return is_of<T, typename First::right> &&
               ((is_of<T, typename Further::left> && is_of<T, typename Further::right>)&&...);
    else return false;
}

template <class First, class... Further>
constexpr bool has_double() {
    auto const one = []<class F>(F const*) {
        return std::is_same_v<typename F::left::element, double> ||
               std::is_same_v<typename F::right::element, double>;
    };
    return (one(static_cast<First const*>(nullptr)) || ... || one(static_cast<Further const*>(nullptr)));
}

constexpr index_t tiles(index_t length, index_t edge) { return (length + edge - 1) / edge; }

template <class T, class Tiling, class Store, class... Factors>
void launch_tensor(index_t rows, index_t columns, Store const& store, Factors const&... f) {
    auto const tile_rows = tiles(rows, Tiling::rows), tile_columns = tiles(columns, Tiling::columns);
    launch(&tensor_gemm<T, Tiling, Store, Factors...>, dim3(static_cast<unsigned>(tile_rows * tile_columns)),
           Tiling::threads,
           Tiling::shared_bytes(largest_table(static_cast<typename Factors::right const*>(nullptr)...)),
           static_cast<int>(tile_rows), static_cast<int>(tile_columns), rows, columns, store, f...);
}

/// Columns of a product where its types say how many, else 0.
template <class Right>
constexpr index_t known_columns() {
    return Right::along_depth ? Right::known_lines : Right::length;
}

/// Tiles of 64 columns where wider ones would compute more than an eighth for nothing.
constexpr bool prefers_narrow_tiles(index_t columns) {
    index_t const unused = tiles(columns, 128) * 128 - tiles(columns, 64) * 64;
    return unused * 8 > columns;
}

template <class Store, class... Factors>
void gemm(index_t rows, index_t columns, Store const& store, Factors const&... f) {
    if (rows == 0 || columns == 0) return;
    if constexpr (fits_tensor_cores<Factors...>()) {
        using first = std::tuple_element_t<0, std::tuple<Factors...>>;
        using T = typename first::left::element;
        constexpr index_t known = known_columns<typename first::right>();
        if constexpr (known > 0)
            launch_tensor<T, tensor_tiling<prefers_narrow_tiles(known) ? 64 : 128>>(rows, columns, store,
                                                                                    f...);
        else if (prefers_narrow_tiles(columns))
            launch_tensor<T, tensor_tiling<64>>(rows, columns, store, f...);
        else launch_tensor<T, tensor_tiling<128>>(rows, columns, store, f...);
    } else {
        using sum = std::conditional_t<has_double<Factors...>(), double, float>;
        using tiling = scalar_tiling<sum>;
        auto const tile_rows = tiles(rows, tiling::edge), tile_columns = tiles(columns, tiling::edge);
        launch(&scalar_gemm<sum, Store, Factors...>, dim3(static_cast<unsigned>(tile_rows * tile_columns)),
               tiling::threads, 0, static_cast<int>(tile_rows), static_cast<int>(tile_columns), rows, columns,
               store, f...);
    }
}

}  // namespace detail

/// store(row, column, value) for every element of the sum of the products, by snug's own kernels.
template <class Store, class A, class B, class... Further>
void own_matmul(Store const& store, product<A, B> first, Further... further) {
    auto const f = detail::as_factors(first);
    detail::gemm(detail::across(f.a), detail::across(f.b), store, f, detail::as_factors(further)...);
}

}  // namespace snug::backend::cuda
