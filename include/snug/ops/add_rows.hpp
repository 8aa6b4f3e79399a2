// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <snug/ops/bound.hpp>
#include <snug/ops/operation.hpp>

namespace snug::SNUG_TARGET::operation {
struct add_rows;
}  // namespace snug::SNUG_TARGET::operation

namespace snug::SNUG_TARGET::ops {

template <class Backend, class Sum, class From, class T, class Key>
concept has_add_rows = takes_bodies_for_granted || requires(Backend on, From from, T* to, Key const& key) {
    add_rows_on(on, Sum{}, from, to, key);
};

/// Row key(r) of `to` += row r of `from` for every r, in order of r: rows that share a key are added one
/// after the other. Each row is taken `factor` times, and summed in type Sum.
template <class Sum, class Backend, class T, class From, class Key>
inline void add_rows(Backend on, From from, T* to, Key const& key, Sum factor = Sum(1)) {
    if constexpr (has_add_rows<Backend, Sum, From, T, Key>) add_rows_on(on, factor, from, to, key);
    else (void)sizeof(missing_body<Backend, operation::add_rows, From, T, Key>);
}

}  // namespace snug::SNUG_TARGET::ops
