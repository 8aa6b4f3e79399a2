// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <snug/ops/bound.hpp>
#include <snug/ops/operation.hpp>
#include <type_traits>

namespace snug::SNUG_TARGET::operation {
struct for_each_row;
}  // namespace snug::SNUG_TARGET::operation

namespace snug::SNUG_TARGET::ops {

template <class Backend, index_t Width, class Body>
concept has_for_each_row = takes_bodies_for_granted || requires(Backend on, index_t rows, Body const& body) {
    for_each_row_on(on, std::integral_constant<index_t, Width>{}, rows, body);
};

/// body(team, row) for every row, in any order, on all threads. `Width` elements of work are in a row, 0 when
/// that is not known: a device gives wider rows to larger teams. A body is a named function object (see
/// `bound`), as are those below.
template <index_t Width, class Backend, class Body>
inline void for_each_row(Backend on, index_t rows, Body const& body) {
    if constexpr (has_for_each_row<Backend, Width, Body>)
        for_each_row_on(on, std::integral_constant<index_t, Width>{}, rows, body);
    else (void)sizeof(missing_body<Backend, operation::for_each_row, Body>);
}
template <class Backend, class Body>
inline void for_each_row(Backend on, index_t rows, Body const& body) {
    for_each_row<0>(on, rows, body);
}

}  // namespace snug::SNUG_TARGET::ops
