// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <snug/quantization/whole.hpp>
#include <string>

namespace snug::SNUG_TARGET::quantization {

/// 256 evenly spaced codes from the lowest to the highest number of the array, one of which is exactly 0: its code is
/// the zero point. For what lies to one side of 0, twice as fine as absmax.
struct affine : whole<affine_code<8>> {
    static std::string name() { return "affine"; }
};

/// The same with 16 codes.
struct affine_4bit : whole<affine_code<4>> {
    static std::string name() { return "affine_4bit"; }
};

static_assert(affine::storage(1000).count == 64 + 1000);

}  // namespace snug::SNUG_TARGET::quantization
