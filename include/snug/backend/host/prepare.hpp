// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <snug/backend/host/tag.hpp>
#include <snug/memory/arena.hpp>
#include <snug/memory/plan.hpp>

namespace snug::SNUG_TARGET::backend::host {

/// Before a trainer gets its memory: nothing to do, and the tag is all the context. Every parallel loop keeps
/// to the plan's number of threads itself.
template <int Threads>
void prepare_on(tag<Threads>, memory_bill const&) {}

template <int Threads>
memory_calls const& memory_on(tag<Threads>) {
    return memory_seam();
}
template <int Threads>
memory_calls const& paged_memory_on(tag<Threads>) {
    return memory_seam();
}

/// Operations are run as they come.
template <int Threads, class Recording, class Operations>
void run_recorded_on(tag<Threads>, Recording&, Operations const& operations) {
    operations();
}

}  // namespace snug::SNUG_TARGET::backend::host
