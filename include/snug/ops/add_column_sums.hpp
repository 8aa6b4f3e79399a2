// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <snug/ops/bound.hpp>
#include <snug/ops/operation.hpp>

namespace snug::SNUG_TARGET::operation {
struct add_column_sums;
}  // namespace snug::SNUG_TARGET::operation

namespace snug::SNUG_TARGET::ops {

/// Bytes of workspace that `add_column_sums` needs to add numbers of type T, for so many rows or fewer. A
/// constant of the program: it depends on no machine.
template <class Backend, class T>
constexpr index_t column_sums_workspace(index_t rows, index_t columns) {
    return Backend::template column_sums_workspace<T>(rows, columns);
}

template <class Backend, class T, class Value>
concept has_add_column_sums = takes_bodies_for_granted ||
    requires(Backend on, index_t rows, index_t columns, std::byte* workspace, T* sums, Value const& value) {
    add_column_sums_on(on, rows, columns, workspace, sums, value);
};

/// sums[column] += Σ over rows of value(row, column). The order of summation is fixed.
/// `workspace` has `column_sums_workspace` bytes, aligned to a cache line.
template <class Backend, class T, class Value>
inline void add_column_sums(Backend on, index_t rows, index_t columns, std::byte* workspace, T* sums,
                            Value const& value) {
    if constexpr (has_add_column_sums<Backend, T, Value>)
        add_column_sums_on(on, rows, columns, workspace, sums, value);
    else (void)sizeof(missing_body<Backend, operation::add_column_sums, T, Value>);
}

}  // namespace snug::SNUG_TARGET::ops
