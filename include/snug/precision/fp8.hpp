// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <snug/precision/small_float.hpp>
#include <string_view>

/// The two formats of the "OCP 8-bit Floating Point Specification" (OFP8, revision 1.0), which is that of
/// Micikevicius et al., "FP8 Formats for Deep Learning", arXiv 2209.05433.
namespace snug::SNUG_TARGET {

/// E4M3: 1 sign, 4 exponent and 3 mantissa bits; largest 448, no infinity, one NaN of each sign. For weights
/// and activations. A number that rounds beyond 448 becomes NaN (as in ml_dtypes' float8_e4m3fn); the
/// specification's other mode and PTX's `satfinite` clamp: `round_nearest<fp8_e4m3, overflow::saturating>`.
struct fp8_e4m3 : small_float<fp8_e4m3, float_layout{4, 3, 7, special_codes::nan}, std::uint8_t> {
    static constexpr std::string_view name = "fp8_e4m3";
    using small_float::small_float;
};

/// E5M2: 1 sign, 5 exponent and 2 mantissa bits, a shortened fp16 with its infinities; largest 57344. For
/// gradients.
struct fp8_e5m2 : small_float<fp8_e5m2, float_layout{5, 2, 15}, std::uint8_t> {
    static constexpr std::string_view name = "fp8_e5m2";
    using small_float::small_float;
};

static_assert(sizeof(fp8_e4m3) == 1 && sizeof(fp8_e5m2) == 1);

}  // namespace snug::SNUG_TARGET
