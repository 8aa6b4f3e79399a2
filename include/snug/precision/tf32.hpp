// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <snug/precision/small_float.hpp>
#include <string_view>

namespace snug::SNUG_TARGET {

/// TensorFloat-32: the exponent of fp32 and the mantissa of fp16, 19 bits that are stored as a float whose 13
/// lowest bits are zero, so an array of tf32 is an array of floats. Saves no memory: it is what tensor cores
/// multiply. Rounds to nearest, halfway to even (PTX `cvt.rn.tf32`); a tensor core that is given plain floats
/// does not round, it ignores their lowest bits.
struct tf32 : small_float<tf32, float_layout{8, 10, 127}, std::uint32_t, 13> {
    static constexpr std::string_view name = "tf32";
    using small_float::small_float;
};

static_assert(sizeof(tf32) == 4);

}  // namespace snug::SNUG_TARGET
