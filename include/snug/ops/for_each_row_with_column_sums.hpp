// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <snug/ops/bound.hpp>
#include <snug/ops/operation.hpp>
#include <type_traits>

namespace snug::SNUG_TARGET::operation {
struct for_each_row_with_column_sums;
}  // namespace snug::SNUG_TARGET::operation

namespace snug::SNUG_TARGET::ops {

/// What `for_each_row_with_column_sums` adds where.
template <class T, class Value>
struct column_sum {
    using element = T;
    T* sums;
    Value value;
};
template <class T, class Value>
column_sum(T*, Value) -> column_sum<T, Value>;

/// Bytes of workspace that `for_each_row_with_column_sums` needs for `sums` sums of type T, for so many rows
/// or fewer.
template <class Backend, class T>
constexpr index_t rows_with_column_sums_workspace(index_t rows, index_t width, index_t sums) {
    return Backend::template rows_with_column_sums_workspace<T>(rows, width, sums);
}

template <class Backend, index_t Width, class Body, class... Sums>
concept has_for_each_row_with_column_sums = takes_bodies_for_granted ||
    requires(Backend on, index_t rows, std::byte* workspace, Body const& body, Sums const&... sums) {
    for_each_row_with_column_sums_on(on, std::integral_constant<index_t, Width>{}, rows, workspace, body,
                                     sums...);
};

/// `for_each_row` and, in the same pass where a backend can, `add_column_sums` over the `Width` columns of
/// the same rows: each of `sums` is a `column_sum`, all of them of one type of number. They are of what was
/// there before: `body` may store a row where the sums read it, but nothing of another row. `workspace` has
/// `rows_with_column_sums_workspace` bytes.
template <index_t Width, class Backend, class Body, class... Sums>
inline void for_each_row_with_column_sums(Backend on, index_t rows, std::byte* workspace, Body const& body,
                                          Sums const&... sums) {
    using width = std::integral_constant<index_t, Width>;
    if constexpr (has_for_each_row_with_column_sums<Backend, Width, Body, Sums...>)
        for_each_row_with_column_sums_on(on, width{}, rows, workspace, body, sums...);
    else (void)sizeof(missing_body<Backend, operation::for_each_row_with_column_sums, Body, Sums...>);
}

}  // namespace snug::SNUG_TARGET::ops
