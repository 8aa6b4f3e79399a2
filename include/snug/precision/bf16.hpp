// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <snug/precision/small_float.hpp>
#include <string_view>

namespace snug::SNUG_TARGET {

/// bfloat16: 1 sign, 8 exponent and 7 mantissa bits, the upper half of an IEEE 754 binary32. The range of
/// fp32 with 2 to 3 decimal digits. Too large a number becomes infinite; a NaN stays a (quiet) NaN.
struct bf16 : small_float<bf16, float_layout{8, 7, 127}, std::uint16_t> {
    static constexpr std::string_view name = "bf16";
    using small_float::small_float;
};

static_assert(sizeof(bf16) == 2);

}  // namespace snug::SNUG_TARGET
