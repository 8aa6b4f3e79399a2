// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <snug/policy.hpp>

namespace snug::SNUG_TARGET::sharding {

/// One process owns everything.
struct none {
    using axis = snug::axis::sharding;
};

}  // namespace snug::SNUG_TARGET::sharding
