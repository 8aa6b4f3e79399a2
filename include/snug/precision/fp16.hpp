// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <snug/precision/small_float.hpp>
#include <string_view>

namespace snug::SNUG_TARGET {

/// IEEE 754 binary16: 1 sign, 5 exponent and 10 mantissa bits. Eight times as dense as bf16, but it ends at
/// 65504 (beyond: infinity) and at 6e-8. Conversions give the bits that F16C gives.
struct fp16 : small_float<fp16, float_layout{5, 10, 15}, std::uint16_t> {
    static constexpr std::string_view name = "fp16";
    using small_float::small_float;
};

static_assert(sizeof(fp16) == 2);

}  // namespace snug::SNUG_TARGET
