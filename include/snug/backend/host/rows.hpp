// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstring>
#include <snug/backend/host/parallel.hpp>
#include <snug/backend/host/tag.hpp>
#include <snug/backend/host/team.hpp>
#include <snug/ops/add_column_sums.hpp>
#include <snug/ops/add_rows.hpp>
#include <snug/ops/add_sum.hpp>
#include <snug/ops/copy.hpp>
#include <snug/ops/for_each_element.hpp>
#include <snug/ops/for_each_row.hpp>
#include <snug/ops/for_each_row_with_column_sums.hpp>
#include <snug/ops/pages.hpp>

/// Bodies of the row, element and reduction operations.
namespace snug::SNUG_TARGET::backend::host {

template <int Threads, index_t Width, class Body>
void for_each_row_on(tag<Threads>, std::integral_constant<index_t, Width>, index_t rows, Body const& body) {
    parallel_for(Threads, rows, [&](index_t row) {
        auto const mine = body;  // see serial_team
        mine(serial_team{}, row);
    });
}

template <int Threads, class Body>
void for_each_element_on(tag<Threads>, index_t count, Body const& body) {
    constexpr index_t chunk = 16384;
    parallel_for(Threads, (count + chunk - 1) / chunk, [&](index_t c) {
        auto const first = c * chunk;
        serial_team{}.for_each(std::min(chunk, count - first), [=](index_t i) { body(first + i); });
    });
}

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

/// The sums first: what they are of is gone when the rows have been stored.
template <int Threads, index_t Width, class Body, class... Sums>
void for_each_row_with_column_sums_on(tag<Threads> on, std::integral_constant<index_t, Width> width,
                                      index_t rows, std::byte* workspace, Body const& body,
                                      Sums const&... sums) {
    (add_column_sums_on(on, rows, Width, workspace, sums.sums, sums.value), ...);
    for_each_row_on(on, width, rows, body);
}

template <int Threads, class Sum, class T, class From, class Key>
void add_rows_on(tag<Threads>, Sum, From from, T* to, Key const& key) {
    // Keys repeat, so rows are not the unit of parallel work: slices of columns are.
    constexpr index_t slice = 64;
    constexpr index_t width = From::width;
    parallel_for(Threads, (width + slice - 1) / slice, [&](index_t s) {
        auto const first = s * slice;
        auto const count = std::min(slice, width - first);
        for (index_t row = 0; row < from.rows; ++row) {
            auto* const sums = to + key(row) * width + first;
            auto const* const values = from.row(row) + first;
            serial_team{}.for_each(count, [=](index_t i) { add_to(sums[i], static_cast<Sum>(values[i])); });
        }
    });
}

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

template <int Threads>
void copy_in_on(tag<Threads>, void* to, void const* from, std::size_t size) {
    std::memcpy(to, from, size);
}
template <int Threads>
void page_in_on(tag<Threads>, int, void* to, void const* from, std::size_t size) {
    std::memcpy(to, from, size);
}
template <int Threads>
void page_out_on(tag<Threads>, int, void* to, void const* from, std::size_t size) {
    std::memcpy(to, from, size);
}
template <int Threads>
void page_is_here_on(tag<Threads>, int) {}
template <int Threads>
void pages_are_away_on(tag<Threads>) {}
template <int Threads>
void copy_out_on(tag<Threads>, void* to, void const* from, std::size_t size) {
    std::memcpy(to, from, size);
}

}  // namespace snug::SNUG_TARGET::backend::host
