// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <snug/meta.hpp>

namespace snug {

/// Rows of `Width` elements, row-major: shape (rows, Width), with `Stride` elements from one row to the next. A view: it
/// owns nothing. The width is part of the type, so that products of shapes that do not fit do not compile.
template <class T, index Width, index Stride = Width>
struct matrix {
    using element = T;
    static constexpr index width = Width;

    T* data = nullptr;
    index rows = 0;

    constexpr T* row(index i) const { return data + i * Stride; }
    constexpr matrix rows_from(index first, index count) const { return {row(first), count}; }
    /// `Count` columns from column `First` on.
    template <index First, index Count>
    constexpr matrix<T, Count, Stride> columns() const {
        static_assert(First >= 0 && First + Count <= Width, "snug: columns outside the matrix");
        return {data + First, rows};
    }
    constexpr operator matrix<T const, Width, Stride>() const { return {data, rows}; }
};

/// to += value, computed in the value's type and rounded once to T.
template <class T, class Value>
constexpr void add_to(T& to, Value value) {
    to = static_cast<T>(static_cast<Value>(to) + value);
}

/// Where a layer puts its result, shape (rows, Width): `written` replaces what was there.
template <class T, index Width>
struct written {
    static constexpr index width = Width;
    matrix<T, Width> to;

    template <class Value>
    constexpr void operator()(index row, index column, Value value) const {
        to.row(row)[column] = static_cast<T>(value);
    }
};

/// Where a layer puts a result that nobody needs.
template <index Width>
struct discarded {
    static constexpr index width = Width;

    template <class Value>
    constexpr void operator()(index, index, Value) const {}
};

/// Where a layer puts its result, shape (rows, Width): `added` stores `base + value`, so that a residual
/// connection costs no pass of its own. `base` may be the same memory as `to`.
template <class T, index Width>
struct added {
    static constexpr index width = Width;
    matrix<T, Width> to;
    matrix<T const, Width> base;

    template <class Value>
    constexpr void operator()(index row, index column, Value value) const {
        to.row(row)[column] = static_cast<T>(static_cast<Value>(base.row(row)[column]) + value);
    }
};

}  // namespace snug
