// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <snug/backend/host/parallel.hpp>
#include <snug/backend/host/tag.hpp>
#include <snug/kernels/sinks.hpp>
#include <snug/ops/add_column_sums.hpp>
#include <type_traits>

namespace snug::SNUG_TARGET::backend::host {

template <int Threads, class T, class Value>
void add_column_sums_on(tag<Threads>, index_t rows, index_t columns, std::byte*, T* sums,
                        Value const& value) {
    constexpr index_t slice = 64;
    parallel_for(Threads, (columns + slice - 1) / slice, [&](index_t s) {
        auto const first = s * slice;
        auto const count = std::min(slice, columns - first);
        using sum = std::conditional_t<std::is_same_v<T, double>, double, float>;
        sum total[slice] = {};
        for (index_t row = 0; row < rows; ++row) {
#pragma omp simd
            for (index_t i = 0; i < count; ++i) total[i] += static_cast<sum>(value(row, first + i));
        }
        for (index_t i = 0; i < count; ++i) add_to(sums[first + i], total[i]);
    });
}

}  // namespace snug::SNUG_TARGET::backend::host
