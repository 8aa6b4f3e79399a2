// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstring>
#include <snug/backend/host/tag.hpp>
#include <snug/ops/pages.hpp>

namespace snug::SNUG_TARGET::backend::host {

template <int Threads>
void page_in_on(tag<Threads>, int, void* to, void const* from, std::size_t size) {
    std::memcpy(to, from, size);
}
template <int Threads>
void page_is_here_on(tag<Threads>, int) {}
template <int Threads>
void page_out_on(tag<Threads>, int, void* to, void const* from, std::size_t size) {
    std::memcpy(to, from, size);
}
template <int Threads>
void page_is_away_on(tag<Threads>, int) {}
template <int Threads>
void pages_are_away_on(tag<Threads>) {}

}  // namespace snug::SNUG_TARGET::backend::host
