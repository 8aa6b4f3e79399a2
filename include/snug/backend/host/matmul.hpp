// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <snug/backend/host/gemm.hpp>
#include <snug/backend/host/tag.hpp>
#include <snug/ops/matmul.hpp>
#include <snug/quantization/matrix.hpp>

/// Body of the matrix product: shapes are checked here, at compile time, and strides replace types.
namespace snug::SNUG_TARGET::backend::host {

namespace detail {

template <class T, index_t Width, index_t Stride>
operand<std::remove_const_t<T>> as_operand(matrix<T, Width, Stride> m) {
    return {m.data, Stride, 1};
}
template <class T, index_t Width, index_t Stride>
operand<std::remove_const_t<T>> as_operand(transposed<matrix<T, Width, Stride>> m) {
    return {m.of.data, 1, Stride};
}

template <class T, index_t Width, index_t Stride>
index_t rows_of(matrix<T, Width, Stride> m) {
    return m.rows;
}
template <class T, index_t Width, index_t Stride>
index_t rows_of(transposed<matrix<T, Width, Stride>>) {
    return Width;
}
template <class T, index_t Width, index_t Stride>
index_t columns_of(matrix<T, Width, Stride>) {
    return Width;
}
template <class T, index_t Width, index_t Stride>
index_t columns_of(transposed<matrix<T, Width, Stride>> m) {
    return m.of.rows;
}

template <class Scheme, index_t Rows, index_t Width>
index_t columns_of(quantized_matrix<Scheme, Rows, Width>) {
    return Width;
}
template <class Scheme, index_t Rows, index_t Width>
index_t columns_of(transposed<quantized_matrix<Scheme, Rows, Width>>) {
    return Rows;
}
template <class T, class Blocks, index_t Rank>
index_t columns_of(block_diagonal<T, Blocks, Rank>) {
    return Blocks::width;
}

template <class B>
inline constexpr bool is_quantized = false;
template <class Scheme, index_t Rows, index_t Width>
inline constexpr bool is_quantized<quantized_matrix<Scheme, Rows, Width>> = true;
template <class Scheme, index_t Rows, index_t Width>
inline constexpr bool is_quantized<transposed<quantized_matrix<Scheme, Rows, Width>>> = true;

/// A quantized right operand is decoded where it is packed: as bf16 when the left one is, as float otherwise.
template <class Left>
using decoded_for = std::conditional_t<std::is_same_v<Left, bf16>, bf16, float>;

/// The right operand of a product whose left one has elements of type Left; `tiles` is where quantized ones are decoded.
template <class Left, class B>
auto as_right(B b, std::byte*) {
    return as_operand(b);
}
template <class Left, class Scheme, index_t Rows, index_t Width>
auto as_right(quantized_matrix<Scheme, Rows, Width> b, std::byte* tiles) {
    return quantized_operand<Scheme, decoded_for<Left>, false>{b.stored, Width, tiles};
}
template <class Left, class Scheme, index_t Rows, index_t Width>
auto as_right(transposed<quantized_matrix<Scheme, Rows, Width>> b, std::byte* tiles) {
    return quantized_operand<Scheme, decoded_for<Left>, true>{b.of.stored, Width, tiles};
}
template <class Left, class T, class Blocks, index_t Rank>
auto as_right(block_diagonal<T, Blocks, Rank> b, std::byte*) {
    return block_diagonal_operand<std::remove_const_t<T>, Blocks, Rank>{b.data};
}

template <class A, class B>
auto as_factors(product<A, B> p, std::byte* tiles) {
    auto const left = as_operand(p.a);
    auto const right = as_right<typename decltype(left)::element>(p.b, tiles);
    using result = factors<typename decltype(left)::element, std::remove_const_t<decltype(right)>>;
    return result{left, right, columns_of(p.a)};
}

/// Hands the sums of a row, element by element, to `store`.
template <class Store>
auto storing(Store const& store) {
    return [&store](index_t row, index_t column, index_t count, auto const* sums) {
#pragma omp simd
        for (index_t i = 0; i < count; ++i) store(row, column + i, sums[i]);
    };
}

}  // namespace detail

template <int Threads, class Store, class A, class B, class... Further>
void matmul_on(tag<Threads>, std::byte* workspace, Store const& store, product<A, B> first,
               Further... further) {
    auto* scratch = workspace;
    if constexpr (detail::is_quantized<B> || (detail::is_quantized<typename Further::right> || ...))
        scratch += Threads * quantized_tile_bytes;
    gemm(Threads, detail::rows_of(first.a), detail::columns_of(first.b), scratch, detail::storing(store),
         detail::as_factors(first, workspace), detail::as_factors(further, workspace)...);
}

}  // namespace snug::SNUG_TARGET::backend::host
