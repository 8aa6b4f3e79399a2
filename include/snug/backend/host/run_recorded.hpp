// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <snug/backend/host/tag.hpp>
#include <snug/ops/run_recorded.hpp>

namespace snug::SNUG_TARGET::backend::host {

/// Operations are run as they come.
template <int Threads, class Recording, class Operations>
void run_recorded_on(tag<Threads>, Recording&, Operations const& operations) {
    operations();
}

}  // namespace snug::SNUG_TARGET::backend::host
