// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <snug/precision/small_float.hpp>
#include <string_view>

namespace snug::SNUG_TARGET {

/// E2M1 of the "OCP Microscaling Formats (MX) Specification" 1.0: 0, 0.5, 1, 1.5, 2, 3, 4, 6 and their
/// negatives. Neither infinity nor NaN: what is too large becomes 6, a NaN 0. One number in the low half of a
/// byte; packing is quantization's. Not what bitsandbytes calls FP4: see `fp4_code`.
struct fp4_e2m1 : small_float<fp4_e2m1, float_layout{2, 1, 1, special_codes::none}, std::uint8_t> {
    static constexpr std::string_view name = "fp4_e2m1";
    using small_float::small_float;
};

static_assert(sizeof(fp4_e2m1) == 1);

}  // namespace snug::SNUG_TARGET
