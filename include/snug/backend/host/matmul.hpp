// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <snug/backend/host/gemm.hpp>
#include <snug/backend/host/tag.hpp>
#include <snug/ops/backend.hpp>

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

}  // namespace detail

template <int Threads, class A, class B, class Store>
void matmul_on(tag<Threads>, A a, B b, std::byte* workspace, Store const& store) {
    gemm(detail::rows_of(a), detail::columns_of(b), detail::columns_of(a), detail::as_operand(a),
         detail::as_operand(b), workspace, [&](index row, index column, index count, auto const* sums) {
#pragma omp simd
             for (index i = 0; i < count; ++i) store(row, column + i, sums[i]);
         });
}

}  // namespace snug::backend::host
