// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <snug/backend/host/parallel.hpp>
#include <snug/backend/host/tag.hpp>
#include <snug/backend/host/team.hpp>
#include <snug/ops/add_sum.hpp>

namespace snug::SNUG_TARGET::backend::host {

template <int Threads, class Value>
void add_sum_on(tag<Threads>, index_t count, double* partials, double* total, Value const& value) {
    // Always the same pieces, so that the sum does not depend on the number of threads.
    auto const chunk = (count + ops::sum_partials - 1) / ops::sum_partials;
    parallel_for(Threads, ops::sum_partials, [&](index_t c) {
        auto const first = std::min(count, c * chunk);
        partials[c] = serial_team{}.sum<double>(
            std::min(chunk, count - first), [=](index_t i) { return static_cast<double>(value(first + i)); });
    });
    double sum = 0;
    for (index_t c = 0; c < ops::sum_partials; ++c) sum += partials[c];
    *total += sum;
}

}  // namespace snug::SNUG_TARGET::backend::host
