// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>
#include <snug/backend/cuda/decode.cuh>
#include <snug/backend/cuda/intrinsics.cuh>
#include <snug/memory/tensor.hpp>
#include <snug/ops/matmul.hpp>
#include <snug/precision/bf16.hpp>
#include <snug/precision/fp16.hpp>
#include <snug/quantization/matrix.hpp>
#include <type_traits>

/// The operands of snug's own product as its kernels take them, and where a block's tile of the result lies.
namespace snug::SNUG_TARGET::backend::cuda::detail {

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

template <class... Lines>
constexpr int largest_table(Lines const*...) {
    int result = 1;
    ((result = Lines::table_size > result ? Lines::table_size : result), ...);
    return result;
}

}  // namespace snug::SNUG_TARGET::backend::cuda::detail
