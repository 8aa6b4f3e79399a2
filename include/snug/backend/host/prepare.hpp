// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <snug/backend/host/tag.hpp>
#include <snug/memory/plan.hpp>
#include <snug/ops/prepare.hpp>

namespace snug::SNUG_TARGET::backend::host {

/// Before a trainer gets its memory: nothing to do, and the tag is all the context. Every parallel loop keeps
/// to the plan's number of threads itself.
template <int Threads>
void prepare_on(tag<Threads>, memory_bill const&) {}

}  // namespace snug::SNUG_TARGET::backend::host
