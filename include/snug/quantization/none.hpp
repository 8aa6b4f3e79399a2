// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <snug/policy.hpp>

namespace snug::SNUG_TARGET::quantization {

/// Weights stay in the precision's own type.
struct none {
    using axis = snug::axis::quantization;
};

}  // namespace snug::SNUG_TARGET::quantization
