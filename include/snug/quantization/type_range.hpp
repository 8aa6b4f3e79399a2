// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <snug/precision/fp16.hpp>
#include <snug/quantization/whole.hpp>
#include <string>

namespace snug::quantization {

/// 255 evenly spaced codes over the whole range of a number format, -65504 to 65504 for fp16, whatever the numbers are;
/// what lies beyond gets the last code. The scheme that shows why the others exist: weights are all far smaller than
/// half a step.
template <class Format = fp16>
struct type_range : whole<range_code<Format, 8>> {
    static std::string name() { return "type_range<" + std::string(number_traits<Format>::name) + ">"; }
};

}  // namespace snug::quantization
