// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <snug/backend/host/parallel.hpp>
#include <snug/backend/host/tag.hpp>
#include <snug/backend/host/team.hpp>
#include <snug/ops/for_each_row.hpp>
#include <type_traits>

namespace snug::SNUG_TARGET::backend::host {

template <int Threads, index_t Width, class Body>
void for_each_row_on(tag<Threads>, std::integral_constant<index_t, Width>, index_t rows, Body const& body) {
    parallel_for(Threads, rows, [&](index_t row) {
        auto const mine = body;  // see serial_team
        mine(serial_team{}, row);
    });
}

}  // namespace snug::SNUG_TARGET::backend::host
