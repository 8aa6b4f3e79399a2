// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <snug/meta.hpp>
#include <type_traits>

namespace snug::SNUG_TARGET {

/// A planned buffer of rows that are `Stride` elements long: where that is a multiple of 16 bytes each of them begins on one, and
/// can be read and written 16 bytes at a time. nvcc keeps this in mind for the pointer that a kernel is given, not for one that
/// is computed from it: so it is said of a buffer, not of a row.
template <index_t Stride, class T>
constexpr T* aligned(T* buffer) {
    if constexpr (Stride * static_cast<index_t>(sizeof(T)) % 16 == 0) return std::assume_aligned<16>(buffer);
    else return buffer;
}

/// Rows of `Width` elements, row-major: shape (rows, Width), with `Stride` elements from one row to the next. A view: it
/// owns nothing. The width is part of the type, so that products of shapes that do not fit do not compile.
template <class T, index_t Width, index_t Stride = Width>
struct matrix {
    using element = T;
    static constexpr index_t width = Width;
    static constexpr index_t stride = Stride;

    T* data = nullptr;
    index_t rows = 0;

    constexpr T* row(index_t i) const { return data + i * Stride; }
    /// The same where the matrix is a planned buffer (see `aligned`), not a few of another one's columns.
    constexpr T* aligned_row(index_t i) const { return aligned<Stride>(data) + i * Stride; }
    constexpr matrix rows_from(index_t first, index_t count) const { return {row(first), count}; }
    /// `Count` columns from column `First` on.
    template <index_t First, index_t Count>
    constexpr matrix<T, Count, Stride> columns() const {
        static_assert(First >= 0 && First + Count <= Width, "snug: columns outside the matrix");
        return {data + First, rows};
    }
    constexpr operator matrix<T const, Width, Stride>() const requires(!std::is_const_v<T>) {
        return {data, rows};
    }
};

/// The elements of a planned matrix as a function object.
template <class M>
struct elements_of {
    M matrix;

    constexpr auto operator()(index_t row, index_t column) const { return matrix.aligned_row(row)[column]; }
};
template <class M>
elements_of(M) -> elements_of<M>;

}  // namespace snug::SNUG_TARGET
