// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstring>
#include <snug/backend/host/tag.hpp>
#include <snug/ops/copy.hpp>

namespace snug::SNUG_TARGET::backend::host {

template <int Threads>
void copy_in_on(tag<Threads>, void* to, void const* from, std::size_t size) {
    std::memcpy(to, from, size);
}
template <int Threads>
void copy_out_on(tag<Threads>, void* to, void const* from, std::size_t size) {
    std::memcpy(to, from, size);
}

template <int Threads>
void copies_are_done_on(tag<Threads>) {}

}  // namespace snug::SNUG_TARGET::backend::host
