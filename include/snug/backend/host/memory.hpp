// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <snug/backend/host/tag.hpp>
#include <snug/memory/arena.hpp>
#include <snug/ops/memory.hpp>

namespace snug::SNUG_TARGET::backend::host {

template <int Threads>
memory_calls const& memory_on(tag<Threads>) {
    return memory_seam();
}
template <int Threads>
memory_calls const& paged_memory_on(tag<Threads>) {
    return memory_seam();
}

}  // namespace snug::SNUG_TARGET::backend::host
