// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <snug/target.hpp>

namespace snug::SNUG_TARGET {

/// What a floating-point format keeps its highest codes for.
enum class special_codes {
    infinity_and_nan,  ///< the highest exponent: infinity with mantissa 0, else NaN (IEEE 754)
    nan,               ///< the highest code of each sign is NaN, all below it are numbers
    none               ///< every code is a number
};

/// How a floating-point format spends its bits, from the highest: one sign, the exponent, the mantissa.
/// Exponent e > 0 means (1 + mantissa / 2^mantissa_bits) * 2^(e - bias); e = 0 holds zero and the subnormals,
/// mantissa / 2^mantissa_bits * 2^(1 - bias).
struct float_layout {
    int exponent_bits;
    int mantissa_bits;
    int bias;
    special_codes special = special_codes::infinity_and_nan;

    constexpr int bits() const { return 1 + exponent_bits + mantissa_bits; }

    /// Codes without their sign bit, in order of value.
    constexpr std::uint64_t highest_code() const {
        return (std::uint64_t{1} << (exponent_bits + mantissa_bits)) - 1;
    }
    /// Infinity, where the format has one.
    constexpr std::uint64_t infinity_code() const { return highest_code() >> mantissa_bits << mantissa_bits; }
    constexpr std::uint64_t largest_finite_code() const {
        switch (special) {
        case special_codes::infinity_and_nan: return infinity_code() - 1;
        case special_codes::nan: return highest_code() - 1;
        case special_codes::none: return highest_code();
        }
        return 0;
    }
    /// From here on every code is NaN; needs a format that has one.
    constexpr std::uint64_t lowest_nan_code() const {
        return special == special_codes::infinity_and_nan ? infinity_code() + 1 : highest_code();
    }
    /// What a number becomes that is too large: infinity, else NaN, else the largest.
    constexpr std::uint64_t overflow_code() const {
        return special == special_codes::infinity_and_nan ? infinity_code() : highest_code();
    }
    constexpr bool same_exponents(float_layout const& other) const {
        return exponent_bits == other.exponent_bits && bias == other.bias && special == other.special;
    }

    bool operator==(float_layout const&) const = default;
};

/// IEEE 754 binary32 and binary64.
template <class T>
inline constexpr float_layout ieee_layout{};
template <>
inline constexpr float_layout ieee_layout<float>{8, 23, 127};
template <>
inline constexpr float_layout ieee_layout<double>{11, 52, 1023};

}  // namespace snug::SNUG_TARGET
