// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <snug/backend/host/gemm.hpp>
#include <snug/backend/host/tag.hpp>
#include <snug/ops/backend.hpp>
#include <snug/quantization/matrix.hpp>

/// Body of the matrix product: shapes are checked here, at compile time, and strides replace types.
namespace snug::backend::host {

namespace detail {

template <class T, index Width>
operand<std::remove_const_t<T>> as_operand(matrix<T, Width> m) {
    return {m.data, Width, 1};
}
template <class T, index Width>
operand<std::remove_const_t<T>> as_operand(transposed<matrix<T, Width>> m) {
    return {m.of.data, 1, Width};
}

template <class T, index Width>
index rows_of(matrix<T, Width> m) {
    return m.rows;
}
template <class T, index Width>
index rows_of(transposed<matrix<T, Width>>) {
    return Width;
}
template <class T, index Width>
index columns_of(matrix<T, Width>) {
    return Width;
}
template <class T, index Width>
index columns_of(transposed<matrix<T, Width>> m) {
    return m.of.rows;
}

/// Hands the sums of a row, element by element, to `store`.
template <class Store>
auto storing(Store const& store) {
    return [&store](index row, index column, index count, auto const* sums) {
#pragma omp simd
        for (index i = 0; i < count; ++i) store(row, column + i, sums[i]);
    };
}

}  // namespace detail

template <int Threads, class A, class B, class Store>
void matmul_on(tag<Threads>, A a, B b, std::byte* workspace, Store const& store) {
    gemm(detail::rows_of(a), detail::columns_of(b), detail::columns_of(a), detail::as_operand(a),
         detail::as_operand(b), workspace, detail::storing(store));
}

/// A quantized right operand is decoded where it is packed: as bf16 when the left one is, as float otherwise.
template <class T>
using decoded_for = std::conditional_t<std::is_same_v<std::remove_const_t<T>, bf16>, bf16, float>;

template <int Threads, class T, class Scheme, index Rows, index Width, class Store>
void matmul_on(tag<Threads>, matrix<T, Rows> a, quantized_matrix<Scheme, Rows, Width> b, std::byte* workspace,
               Store const& store) {
    using right = quantized_operand<Scheme, decoded_for<T>, false>;
    gemm(a.rows, Width, Rows, detail::as_operand(a), right{b.stored, Width, workspace},
         workspace + Threads * quantized_tile_bytes, detail::storing(store));
}

template <int Threads, class T, class Scheme, index Rows, index Width, class Store>
void matmul_on(tag<Threads>, matrix<T, Width> a, transposed<quantized_matrix<Scheme, Rows, Width>> b,
               std::byte* workspace, Store const& store) {
    using right = quantized_operand<Scheme, decoded_for<T>, true>;
    gemm(a.rows, Rows, Width, detail::as_operand(a), right{b.of.stored, Width, workspace},
         workspace + Threads * quantized_tile_bytes, detail::storing(store));
}

}  // namespace snug::backend::host
