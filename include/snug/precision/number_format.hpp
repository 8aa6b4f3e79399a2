// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <concepts>
#include <cstdint>
#include <limits>
#include <snug/precision/float_layout.hpp>
#include <snug/precision/integers.hpp>
#include <snug/precision/name.hpp>
#include <string_view>

namespace snug::SNUG_TARGET {

/// The constants of a format, all known to the compiler and, being a power of two times a short integer,
/// exact as doubles: `number_traits<fp16>::largest`. Specialise it for a format that is neither a
/// `small_float` nor an integer.
template <class T>
struct number_traits;

/// A format with constants, and conversions to float.
template <class T>
concept number_format = requires(T number) {
    number_traits<T>::name;
    number_traits<T>::bits;
    number_traits<T>::sign_bits;
    number_traits<T>::exponent_bits;
    number_traits<T>::mantissa_bits;
    number_traits<T>::bias;
    number_traits<T>::largest;
    number_traits<T>::lowest;
    number_traits<T>::smallest_normal;
    number_traits<T>::smallest_subnormal;
    number_traits<T>::epsilon;
    number_traits<T>::has_infinity;
    number_traits<T>::has_nan;
    number_traits<T>::codes;
    static_cast<float>(number);
};

namespace conversion {

constexpr double power_of_two(int exponent) {
    double result = 1;
    for (; exponent > 0; --exponent) result *= 2;
    for (; exponent < 0; ++exponent) result /= 2;
    return result;
}

template <float_layout Layout>
struct float_traits {
    static constexpr int bits = Layout.bits();  ///< that carry information; tf32 is stored in 32
    static constexpr int sign_bits = 1;
    static constexpr int exponent_bits = Layout.exponent_bits;
    static constexpr int mantissa_bits = Layout.mantissa_bits;  ///< as stored, without the implicit one
    static constexpr int bias = Layout.bias;
    static constexpr double epsilon = power_of_two(-mantissa_bits);  ///< from 1 to the next number
    static constexpr double smallest_normal = power_of_two(1 - bias);
    static constexpr double smallest_subnormal = power_of_two(1 - bias - mantissa_bits);
    static constexpr double largest = [] {
        auto const code = Layout.largest_finite_code();
        auto const mantissa = code & ((std::uint64_t{1} << mantissa_bits) - 1);
        return (1 + static_cast<double>(mantissa) * epsilon) *
               power_of_two(static_cast<int>(code >> mantissa_bits) - bias);
    }();
    static constexpr double lowest = -largest;
    static constexpr bool has_infinity = Layout.special == special_codes::infinity_and_nan;
    static constexpr bool has_nan = Layout.special != special_codes::none;
    static constexpr double codes = power_of_two(bits);  ///< a double, because 2^64 is no std::uint64_t
};

/// No exponent: the spacing is 1 everywhere, and 1 is the smallest number.
template <int Lowest, int Largest, int Bits>
struct integer_traits {
    static constexpr int bits = Bits;
    static constexpr int sign_bits = Lowest < 0 ? 1 : 0;
    static constexpr int exponent_bits = 0;
    static constexpr int mantissa_bits = Bits - sign_bits;
    static constexpr int bias = 0;
    static constexpr double epsilon = 1;
    static constexpr double smallest_normal = 1;
    static constexpr double smallest_subnormal = 1;
    static constexpr double largest = Largest;
    static constexpr double lowest = Lowest;
    static constexpr bool has_infinity = false;
    static constexpr bool has_nan = false;
    static constexpr double codes = power_of_two(bits);
};

}  // namespace conversion

template <class T>
    requires std::same_as<decltype(T::layout), float_layout const>
struct number_traits<T> : conversion::float_traits<T::layout> {
    static constexpr std::string_view name = element_name<T>;
};

template <class T>
    requires std::same_as<T, float> || std::same_as<T, double>
struct number_traits<T> : conversion::float_traits<ieee_layout<T>> {
    static constexpr std::string_view name = element_name<T>;
};

template <std::integral T>
    requires(sizeof(T) <= 2 && !std::same_as<T, bool>)
struct number_traits<T> : conversion::integer_traits<std::numeric_limits<T>::min(),
                                                     std::numeric_limits<T>::max(), sizeof(T) * 8> {
    static constexpr std::string_view name = element_name<T>;
};

template <>
struct number_traits<int4> : conversion::integer_traits<int4::lowest, int4::largest, 4> {
    static constexpr std::string_view name = element_name<int4>;
};

}  // namespace snug::SNUG_TARGET
