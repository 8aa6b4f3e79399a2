// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <concepts>
#include <cstdint>
#include <limits>
#include <snug/precision/bf16.hpp>
#include <snug/precision/number_format.hpp>
#include <snug/precision/small_float.hpp>

/// Every way from a float to a format, by name.
namespace snug::SNUG_TARGET {

namespace conversion {

template <class T>
concept small = std::same_as<decltype(T::layout), float_layout const>;

template <class To, overflow Beyond, std::floating_point Source, class Rounding>
constexpr To round(Source value, Rounding rounding) noexcept {
    if constexpr (small<To>) {
        return To::from_code(conversion::encode<To::layout, Beyond>(value, rounding));
    } else if constexpr (std::same_as<To, int4>) {
        return int4::from_value(conversion::encode_integer<int4::lowest, int4::largest>(value, rounding));
    } else if constexpr (std::integral<To>) {
        return static_cast<To>(
            conversion::encode_integer<std::numeric_limits<To>::min(), std::numeric_limits<To>::max()>(
                value, rounding));
    } else {
        static_assert(std::floating_point<To>, "snug: To is fp32, fp64, a small_float or a small integer");
        if constexpr (Beyond == overflow::saturating) {
            constexpr auto largest = sizeof(To) < sizeof(Source)
                                         ? static_cast<Source>(std::numeric_limits<To>::max())
                                         : std::numeric_limits<Source>::max();
            value = std::min(std::max(value, -largest), largest);
        }
        return static_cast<To>(value);
    }
}

}  // namespace conversion

/// The nearest number of the format, halfway to the even one: from float, or from double (rounded once).
/// Integers always clamp.
template <number_format To, overflow Beyond = overflow::natural, std::floating_point Source>
constexpr To round_nearest(Source value) noexcept {
    return conversion::round<To, Beyond>(value, rounding::nearest_even{});
}

/// One of the two neighbours of `value` in the format, by the random bits: the upper one with probability
/// (value - lower) / (upper - lower), so the expectation over uniform bits is the value itself, and a sum of
/// small updates is not lost (Gupta et al., "Deep Learning with Limited Numerical Precision", arXiv
/// 1502.02551). A number of the format stays what it is; so do infinity and NaN. The same bits always give
/// the same result, and only the lowest ones count, as many as the format has fewer than fp32: 16 for bf16,
/// 13 for fp16 (more for its subnormals). Not unbiased beyond the largest number, where `Beyond` decides, and
/// below 2^-31 of the smallest.
template <number_format To, overflow Beyond = overflow::natural>
constexpr To round_stochastic(float value, std::uint32_t random) noexcept {
    return conversion::round<To, Beyond>(value, rounding::stochastic{random});
}

/// The rounding of `pure<bf16>`: an addition and a shift on the float's bits. Uses the lowest 16 random bits.
constexpr bf16 stochastic_bf16(float value, std::uint32_t random) noexcept {
    return round_stochastic<bf16>(value, random);
}

}  // namespace snug::SNUG_TARGET
