// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <bit>
#include <cstdint>
#include <limits>
#include <snug/meta.hpp>

namespace snug::SNUG_TARGET::kernels {

/// A sum of numbers that are not negative, kept exactly: the same bits in whatever order, on however many
/// threads, devices or processes they are added, because integers are. Every double has a place, so nothing
/// is rounded before `value`. The idea is Kulisch's accumulator; in parts of 32 bits, so that a part takes
/// 2^31 additions before it could overflow.
struct exact_sum {
    /// A sum of many numbers takes runs of so many consecutive ones in double precision, in a fixed order,
    /// and adds their sums here.
    static constexpr index_t run = 256;
    static constexpr int limbs = 66;
    static constexpr int not_finite = limbs;  ///< the part that counts what has no place
    static constexpr int size = limbs + 1;

    /// parts[k] counts units of 2^(32 k - 1074), the least double.
    std::int64_t parts[size];

    /// add_to(k, units) for each part that a number has units in.
    template <class AddTo>
    static constexpr void split(double x, AddTo const& add_to) {
        if (!(x <= std::numeric_limits<double>::max())) return add_to(not_finite, std::int64_t{1});
        auto const bits = std::bit_cast<std::uint64_t>(x);
        auto exponent = static_cast<int>(bits >> 52);
        auto mantissa = bits & ((std::uint64_t{1} << 52) - 1);
        if (exponent > 0) mantissa |= std::uint64_t{1} << 52;
        else exponent = 1;
        int const first = (exponent - 1) / 32, shift = (exponent - 1) % 32;
        auto const low = mantissa << shift;
        auto const high = shift == 0 ? 0 : mantissa >> (64 - shift);
        constexpr std::uint64_t word = 0xFFFFFFFF;
        add_to(first, static_cast<std::int64_t>(low & word));
        add_to(first + 1, static_cast<std::int64_t>(low >> 32));
        add_to(first + 2, static_cast<std::int64_t>(high));
    }

    constexpr void add(double x) {
        split(x, [this](int k, std::int64_t units) { parts[k] += units; });
    }

    /// To 64 bits at least of the sum, rounded to double; NaN when a number was not finite.
    constexpr double value() const {
        if (parts[not_finite] != 0) return std::numeric_limits<double>::quiet_NaN();
        std::int64_t carry = 0;
        double leading[3] = {};  // the highest part that is not 0, and the two below it
        double below[2] = {};
        int top = 0;
        for (int k = 0; k < limbs; ++k) {
            auto const whole = parts[k] + carry;
            carry = whole >> 32;
            auto const part = static_cast<double>(whole & 0xFFFFFFFF);
            if (part != 0) {
                leading[0] = part;
                leading[1] = below[0];
                leading[2] = below[1];
                top = k;
            }
            below[1] = below[0];
            below[0] = part;
        }
        if (carry != 0) return std::numeric_limits<double>::infinity();
        constexpr double word = 4294967296.0;
        return scaled((leading[0] * word + leading[1]) * word + leading[2], 32 * (top - 2) - 1074);
    }

  private:
    /// x 2^exponent; the last multiplication is the only one that can round.
    static constexpr double scaled(double x, int exponent) {
        for (; exponent < -1022; exponent += 512) x *= power(-512);
        return x * power(exponent);
    }
    static constexpr double power(int exponent) {
        return std::bit_cast<double>(static_cast<std::uint64_t>(exponent + 1023) << 52);
    }
};

}  // namespace snug::SNUG_TARGET::kernels
