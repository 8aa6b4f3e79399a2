// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <snug/policy.hpp>

namespace snug::SNUG_TARGET::adapters {

/// Every parameter of the model is trained.
struct none {
    using axis = snug::axis::adapters;
};

}  // namespace snug::SNUG_TARGET::adapters
