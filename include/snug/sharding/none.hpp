// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <snug/policy.hpp>

namespace snug::sharding {

/// One process owns everything.
struct none {
    using axis = snug::axis::sharding;
};

}  // namespace snug::sharding
