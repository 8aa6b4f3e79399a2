// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <snug/kernels/sinks.hpp>
#include <type_traits>
#include <utility>

namespace snug::SNUG_TARGET::kernels {

/// y(row, i, value(i)) for the first `count` elements of a row. Where a team has several lanes and the sink says beforehand
/// what it stores, each lane reads a few neighbours before it writes any: wide accesses, whatever else lies in memory.
template <class Team, class Sink, class Value>
constexpr void store_row(Team team, Sink y, index_t row, index_t count, Value value) {
    if constexpr (Team::lanes > 1 && is_prepared<Sink>) {
        auto* const to = y.to.aligned_row(row);
        team.map(
            count, [=](index_t i) { return y.prepared(row, i, value(i)); },
            [=](index_t i, auto stored) { to[i] = stored; });
    } else team.for_each(count, [=](index_t i) { y(row, i, value(i)); });
}

/// The same for two results of an element: those of `value(i)`, a pair, are stored at i and `apart` + i. What they are computed
/// from may lie where they are stored.
template <class Team, class Sink, class Value>
constexpr void store_row_of_pairs(Team team, Sink y, index_t row, index_t count, index_t apart, Value value) {
    if constexpr (Team::lanes > 1 && is_prepared<Sink>) {
        auto* const to = y.to.aligned_row(row);
        using element = std::remove_reference_t<decltype(*to)>;
        struct stored {
            element first, second;
        };
        team.map(
            count,
            [=](index_t i) {
                auto const [first, second] = value(i);
                return stored{y.prepared(row, i, first), y.prepared(row, i + apart, second)};
            },
            [=](index_t i, auto both) {
                to[i] = both.first;
                to[i + apart] = both.second;
            });
    } else {
        team.for_each(count, [=](index_t i) {
            auto const both = value(i);
            y(row, i, both.first);
            y(row, i + apart, both.second);
        });
    }
}

}  // namespace snug::SNUG_TARGET::kernels
