// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <atomic>
#include <snug/backend/host/parallel.hpp>
#include <snug/backend/host/tag.hpp>
#include <snug/backend/host/team.hpp>
#include <snug/kernels/exact_sum.hpp>
#include <snug/ops/add_exact_sum.hpp>

namespace snug::SNUG_TARGET::backend::host {

/// A sum for each thread, merged at the end.
template <int Threads, class Value>
void add_exact_sum_on(tag<Threads>, index_t rows, index_t width, kernels::exact_sum* total,
                      Value const& value) {
    using kernels::exact_sum;
    auto const runs_of_row = (width + exact_sum::run - 1) / exact_sum::run;
    auto const runs = rows * runs_of_row;
    auto const shares = std::min<index_t>(runs, thread_count(Threads));
    parallel_for(Threads, shares, [&](index_t share) {
        exact_sum own{};
        for (auto run = share * runs / shares; run < (share + 1) * runs / shares; ++run) {
            auto const in_row = run % runs_of_row * exact_sum::run;
            auto const first = run / runs_of_row * width + in_row;
            own.add(serial_team{}.sum<double>(std::min(exact_sum::run, width - in_row), [=](index_t i) {
                return static_cast<double>(value(first + i));
            }));
        }
        for (int k = 0; k < exact_sum::size; ++k)
            if (own.parts[k] != 0)
                std::atomic_ref(total->parts[k]).fetch_add(own.parts[k], std::memory_order_relaxed);
    });
}

}  // namespace snug::SNUG_TARGET::backend::host
