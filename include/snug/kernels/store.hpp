// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <snug/memory/tensor.hpp>

namespace snug::kernels {

/// y(row, i, value(i)) for the first `count` elements of a row. Where a team has several lanes and the sink says beforehand
/// what it stores, each lane reads a few neighbours before it writes any: wide accesses, whatever else lies in memory.
template <class Team, class Sink, class Value>
constexpr void store_row(Team team, Sink y, index row, index count, Value value) {
    if constexpr (Team::lanes > 1 && requires { y.prepared(row, index{}, value(index{})); }) {
        auto* const to = aligned<decltype(y.to)::stride>(y.to.row(row));
        team.map(
            count, [=](index i) { return y.prepared(row, i, value(i)); },
            [=](index i, auto stored) { to[i] = stored; });
    } else team.for_each(count, [=](index i) { y(row, i, value(i)); });
}

}  // namespace snug::kernels
