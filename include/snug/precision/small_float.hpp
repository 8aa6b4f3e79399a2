// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <bit>
#include <concepts>
#include <cstdint>
#include <snug/precision/float_layout.hpp>
#include <type_traits>

/// One conversion for every floating-point format narrower than fp32, from the description of its bits.
/// Integer arithmetic without a branch: it holds at compile time, a loop over it vectorises, and neither the
/// processor's rounding mode nor flushing of subnormals can change a result.
namespace snug::SNUG_TARGET {

/// What becomes of a number beyond the largest that the format has.
enum class overflow {
    natural,    ///< infinity where the format has one, else NaN where it has one, else the largest
    saturating  ///< the largest of that sign, from infinity too
};

namespace rounding {

/// Drops the lowest `places` >= 1 bits of `number`: to the nearest, halfway to the even one.
struct nearest_even {
    template <std::unsigned_integral Word>
    constexpr Word operator()(Word number, Word places) const noexcept {
        // More places than a significand has leave nothing, however many they are.
        auto const shift = std::min(places, static_cast<Word>(sizeof(Word) * 8 - 1));
        auto const half = static_cast<Word>(Word{1} << (shift - 1));
        return (number + (half - 1) + ((number >> shift) & 1)) >> shift;
    }
};

/// Drops the lowest `places` >= 1 bits of `number`: upwards with the probability that they are of a whole, so
/// that the expectation over uniform `random` is the number itself. Only the lowest `places` bits of `random`
/// count. Of more than 31 places the lowest are cut off, which moves the expectation by less than 2^-31 of a
/// step.
struct stochastic {
    std::uint32_t random;

    constexpr std::uint32_t operator()(std::uint32_t number, std::uint32_t places) const noexcept {
        auto const shift = std::min(places, std::uint32_t{31});
        auto const cut = std::min(places - shift, std::uint32_t{31});
        return ((number >> cut) + (random & ((std::uint32_t{1} << shift) - 1))) >> shift;
    }
};

}  // namespace rounding

namespace conversion {

template <std::floating_point T>
using word_of = std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint64_t>;

/// The code of `value` in the format `To`, its sign on top. A NaN stays one and keeps its sign and the upper
/// part of its payload where the format has room for them; in a format without NaN it becomes zero.
template <float_layout To, overflow Beyond, std::floating_point Source, class Rounding>
constexpr std::uint32_t encode(Source value, Rounding rounding) noexcept {
    using word = word_of<Source>;
    using signed_word = std::make_signed_t<word>;
    constexpr auto from = ieee_layout<Source>;
    static_assert(
        To.mantissa_bits < from.mantissa_bits && To.exponent_bits <= from.exponent_bits && To.bits() <= 32,
        "snug: a conversion rounds, so it goes from float or double to a format with fewer bits");
    constexpr auto places = static_cast<word>(from.mantissa_bits - To.mantissa_bits);
    constexpr auto infinity = static_cast<word>(from.infinity_code());

    auto const pattern = std::bit_cast<word>(value);
    auto const magnitude = static_cast<word>(pattern & from.highest_code());
    bool const is_nan = magnitude > infinity;
    constexpr auto quiet = word{1} << (To.mantissa_bits - 1);

    if constexpr (To.same_exponents(from) && Beyond == overflow::natural) {
        // Exponent and mantissa are one number here: rounding carries from the one into the other, and up to
        // infinity.
        return static_cast<std::uint32_t>(is_nan ? (pattern >> places) | quiet : rounding(pattern, places));
    } else {
        auto const stored_exponent = static_cast<word>(magnitude >> from.mantissa_bits);
        constexpr auto implicit_bit = word{1} << from.mantissa_bits;
        auto const significand =
            static_cast<word>((magnitude & (implicit_bit - 1)) | (stored_exponent != 0 ? implicit_bit : 0));
        // As this format would store it; what lies below 1 makes the significand shorter instead.
        auto const exponent =
            static_cast<signed_word>(std::max(stored_exponent, word{1})) - (from.bias - To.bias);
        auto const missing = static_cast<word>(std::max(1 - exponent, signed_word{0}));
        auto const below = static_cast<word>(std::max(exponent - 1, signed_word{0}));
        // The implicit bit of the rounded significand is what lifts the exponent from `below` to its value.
        auto const number = (below << To.mantissa_bits) + rounding(significand, places + missing);

        constexpr auto highest =
            static_cast<word>(Beyond == overflow::saturating ? To.largest_finite_code() : To.overflow_code());
        auto code = std::min(number, highest);
        if constexpr (To.special == special_codes::infinity_and_nan)
            code = is_nan ? (((magnitude >> places) | To.infinity_code() | quiet) & To.highest_code()) : code;
        else if constexpr (To.special == special_codes::nan) code = is_nan ? To.highest_code() : code;
        else code = is_nan ? 0 : code;
        constexpr int sign_place = static_cast<int>(sizeof(word)) * 8 - To.bits();
        return static_cast<std::uint32_t>(code | ((pattern & ~from.highest_code()) >> sign_place));
    }
}

/// The number that a code of the format `From` stands for; exact.
template <float_layout From>
constexpr float decode(std::uint32_t code) noexcept {
    constexpr auto to = ieee_layout<float>;
    constexpr int places = to.mantissa_bits - From.mantissa_bits;
    static_assert(places >= 0);
    if constexpr (From.same_exponents(to)) {
        return std::bit_cast<float>(code << places);
    } else {
        static_assert(From.bias + From.mantissa_bits <= to.bias,
                      "snug: the smallest number of the format would be a subnormal of fp32");
        auto const magnitude = code & static_cast<std::uint32_t>(From.highest_code());
        auto const stored_exponent = magnitude >> From.mantissa_bits;
        constexpr auto implicit_bit = std::uint32_t{1} << From.mantissa_bits;
        auto const significand = (magnitude & (implicit_bit - 1)) | (stored_exponent != 0 ? implicit_bit : 0);
        constexpr auto rebias = static_cast<std::uint32_t>(to.bias - From.bias - From.mantissa_bits);
        auto const unit =
            std::bit_cast<float>((std::max(stored_exponent, std::uint32_t{1}) + rebias) << to.mantissa_bits);
        auto const number = static_cast<float>(static_cast<std::int32_t>(significand)) * unit;
        // Or-ed, not chosen: a compiler may not compute a product that is then dropped, so a choice would be
        // a branch.
        auto pattern = std::bit_cast<std::uint32_t>(number) | (code >> (From.bits() - 1) << 31);
        constexpr auto infinity = static_cast<std::uint32_t>(to.infinity_code());
        constexpr auto quiet_nan = infinity | (std::uint32_t{1} << (to.mantissa_bits - 1));
        if constexpr (From.special == special_codes::infinity_and_nan)
            pattern |= magnitude >= From.infinity_code() ? infinity : 0;
        if constexpr (From.special != special_codes::none)
            pattern |= magnitude >= From.lowest_nan_code() ? quiet_nan : 0;
        return std::bit_cast<float>(pattern);
    }
}

}  // namespace conversion

/// A stored number of at most 32 bits; arithmetic happens in `float`. Widening is exact and implicit,
/// narrowing rounds to nearest, halfway to even, and has to be asked for. `Padding` zero bits follow the code
/// in `bits`. Your own format derives from it, inherits the constructors and has a `name`:
/// `struct fp6 : small_float<fp6, float_layout{3, 2, 3, special_codes::none}, std::uint8_t> { ... };`
template <class Self, float_layout Layout, std::unsigned_integral Storage, int Padding = 0>
struct small_float {
    static constexpr float_layout layout = Layout;
    static constexpr int padding = Padding;
    static_assert(Layout.bits() + Padding <= static_cast<int>(sizeof(Storage)) * 8);

    Storage bits;

    small_float() = default;

    constexpr explicit small_float(float value) noexcept
        : bits(static_cast<Storage>(
              conversion::encode<Layout, overflow::natural>(value, rounding::nearest_even{}) << Padding)) {}

    constexpr operator float() const noexcept { return conversion::decode<Layout>(code()); }

    constexpr std::uint32_t code() const noexcept { return static_cast<std::uint32_t>(bits) >> Padding; }

    static constexpr Self from_code(std::uint32_t code) noexcept {
        return from_bits(static_cast<Storage>(code << Padding));
    }

    static constexpr Self from_bits(Storage bits) noexcept {
        Self result{};
        result.bits = bits;
        return result;
    }
};

}  // namespace snug::SNUG_TARGET
