// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <snug/backend/host/parallel.hpp>
#include <snug/backend/host/tag.hpp>
#include <snug/backend/host/team.hpp>
#include <snug/kernels/sinks.hpp>
#include <snug/ops/add_rows.hpp>

namespace snug::SNUG_TARGET::backend::host {

template <int Threads, class Sum, class T, class From, class Key>
void add_rows_on(tag<Threads>, Sum factor, From from, T* to, Key const& key) {
    // Keys repeat, so rows are not the unit of parallel work: slices of columns are.
    constexpr index_t slice = 64;
    constexpr index_t width = From::width;
    parallel_for(Threads, (width + slice - 1) / slice, [&](index_t s) {
        auto const first = s * slice;
        auto const count = std::min(slice, width - first);
        for (index_t row = 0; row < from.rows; ++row) {
            auto* const sums = to + key(row) * width + first;
            auto const* const values = from.row(row) + first;
            serial_team{}.for_each(count,
                                   [=](index_t i) { add_to(sums[i], factor * static_cast<Sum>(values[i])); });
        }
    });
}

}  // namespace snug::SNUG_TARGET::backend::host
