// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <snug/backend/host/add_column_sums.hpp>
#include <snug/backend/host/for_each_row.hpp>
#include <snug/backend/host/tag.hpp>
#include <snug/ops/for_each_row_with_column_sums.hpp>
#include <type_traits>

namespace snug::SNUG_TARGET::backend::host {

/// The sums first: what they are of is gone when the rows have been stored.
template <int Threads, index_t Width, class Body, class... Sums>
void for_each_row_with_column_sums_on(tag<Threads> on, std::integral_constant<index_t, Width> width,
                                      index_t rows, std::byte* workspace, Body const& body,
                                      Sums const&... sums) {
    (add_column_sums_on(on, rows, Width, workspace, sums.sums, sums.value), ...);
    for_each_row_on(on, width, rows, body);
}

}  // namespace snug::SNUG_TARGET::backend::host
