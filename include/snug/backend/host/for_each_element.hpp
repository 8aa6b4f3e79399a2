// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <snug/backend/host/parallel.hpp>
#include <snug/backend/host/tag.hpp>
#include <snug/backend/host/team.hpp>
#include <snug/ops/for_each_element.hpp>

namespace snug::SNUG_TARGET::backend::host {

template <int Threads, class Body>
void for_each_element_on(tag<Threads>, index_t count, Body const& body) {
    constexpr index_t chunk = 16384;
    parallel_for(Threads, (count + chunk - 1) / chunk, [&](index_t c) {
        auto const first = c * chunk;
        serial_team{}.for_each(std::min(chunk, count - first), [=](index_t i) { body(first + i); });
    });
}

}  // namespace snug::SNUG_TARGET::backend::host
