// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <bit>
#include <concepts>
#include <cstdint>
#include <limits>
#include <snug/precision/small_float.hpp>
#include <string_view>

/// Integers as number formats: evenly spaced, so all their codes serve one range that a scale has to choose
/// (quantization). Conversion by `round_nearest` or `round_stochastic`, which clamp; a plain cast cuts off,
/// and outside the range it is undefined.
namespace snug::SNUG_TARGET {

using int8 = std::int8_t;
using uint8 = std::uint8_t;

/// -8 to 7, one number in a byte; packing two is quantization's.
struct int4 {
    static constexpr std::string_view name = "int4";
    static constexpr int lowest = -8;
    static constexpr int largest = 7;

    std::int8_t value;

    int4() = default;
    /// Rounds to nearest, halfway to even, and clamps; a NaN becomes 0.
    constexpr explicit int4(float number) noexcept;
    constexpr operator float() const noexcept { return value; }

    static constexpr int4 from_value(int value) noexcept {
        int4 result{};
        result.value = static_cast<std::int8_t>(value);
        return result;
    }
    friend constexpr bool operator==(int4, int4) = default;
};

namespace conversion {

/// `value` as an integer between `lowest` and `largest` (at most 2^20 in magnitude); a NaN becomes 0.
template <int lowest, int largest, std::floating_point Source, class Rounding>
constexpr int encode_integer(Source value, Rounding rounding) noexcept {
    static_assert(lowest >= -(1 << 20) && largest <= 1 << 20);
    using word = word_of<Source>;
    constexpr auto from = ieee_layout<Source>;
    bool const is_nan = (std::bit_cast<word>(value) & from.highest_code()) > from.infinity_code();
    auto const number = is_nan ? Source{0} : value;
    auto const clamped =
        std::min(std::max(number, static_cast<Source>(lowest)), static_cast<Source>(largest));
    auto const pattern = std::bit_cast<word>(clamped);
    auto const magnitude = static_cast<word>(pattern & from.highest_code());
    auto const exponent = static_cast<word>(magnitude >> from.mantissa_bits);
    constexpr auto implicit_bit = word{1} << from.mantissa_bits;
    auto const significand = static_cast<word>((magnitude & (implicit_bit - 1)) | implicit_bit);
    // An integer is a float that is all subnormal. The source's own subnormals are no nearer to 1 than its
    // zero.
    constexpr auto places_of_zero = static_cast<word>(from.bias + from.mantissa_bits);
    auto const rounded = static_cast<int>(
        exponent == 0 ? word{0} : rounding(significand, static_cast<word>(places_of_zero - exponent)));
    return pattern > from.highest_code() ? -rounded : rounded;
}

}  // namespace conversion

constexpr int4::int4(float number) noexcept
    : value(static_cast<std::int8_t>(
          conversion::encode_integer<lowest, largest>(number, rounding::nearest_even{}))) {}

static_assert(sizeof(int4) == 1);

}  // namespace snug::SNUG_TARGET
