// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <snug/quantization/whole.hpp>
#include <string>

namespace snug::SNUG_TARGET::quantization {

/// 255 evenly spaced codes from minus to plus the largest magnitude of the array. One outlier takes the codes from all
/// others.
struct absmax : whole<symmetric_code<8>> {
    static std::string name() { return "absmax"; }
};

/// The same with 15 codes.
struct absmax_4bit : whole<symmetric_code<4>> {
    static std::string name() { return "absmax_4bit"; }
};

static_assert(absmax::storage(1000).count == 64 + 1000);
static_assert(absmax_4bit::storage(1000).count == 64 + 500);

}  // namespace snug::SNUG_TARGET::quantization
