// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <omp.h>
#include <snug/backend/host/tag.hpp>
#include <snug/memory/plan.hpp>

namespace snug::backend::host {

/// Before a trainer gets its memory: no more threads than the plan has workspaces for.
template <int Threads>
void prepare_on(tag<Threads>, memory_bill const&) {
    if (omp_get_max_threads() > Threads) omp_set_num_threads(Threads);
}

}  // namespace snug::backend::host
