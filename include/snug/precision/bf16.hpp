// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>

namespace snug {

/// bfloat16: 1 sign, 8 exponent and 7 mantissa bits, the upper half of an IEEE 754 binary32.
/// Storage only: arithmetic happens in `float`. Conversion from `float` rounds to nearest, ties to even;
/// a NaN stays a (quiet) NaN.
struct bf16 {
    std::uint16_t bits;

    bf16() = default;

    constexpr explicit bf16(float value) noexcept : bits(round(value)) {}

    constexpr operator float() const noexcept {
        return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16);
    }

    static constexpr bf16 from_bits(std::uint16_t bits) noexcept {
        bf16 result{};
        result.bits = bits;
        return result;
    }

    friend constexpr bool operator==(bf16 a, bf16 b) noexcept {
        return static_cast<float>(a) == static_cast<float>(b);
    }

  private:
    static constexpr std::uint16_t round(float value) noexcept {
        auto const word = std::bit_cast<std::uint32_t>(value);
        // Branch-free so that a loop over it vectorises.
        auto const nearest = (word + 0x7FFFu + ((word >> 16) & 1u)) >> 16;
        auto const quiet_nan = (word >> 16) | 0x40u;
        return static_cast<std::uint16_t>((word & 0x7FFFFFFFu) > 0x7F800000u ? quiet_nan : nearest);
    }
};

static_assert(sizeof(bf16) == 2);

}  // namespace snug
