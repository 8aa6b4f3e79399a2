// SPDX-License-Identifier: Apache-2.0
#include <snug/precision/bf16.hpp>

#include <catch2/catch.hpp>

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

namespace {

constexpr std::uint32_t code_count = 0x10000;

std::uint16_t rounded_code(std::uint32_t float_bits) {
    return snug::bf16{std::bit_cast<float>(float_bits)}.bits;
}

}  // namespace

TEST_CASE("every bf16 code survives the way to float and back") {
    std::uint32_t changed = 0;
    for (std::uint32_t code = 0; code < code_count; ++code) {
        auto const value = snug::bf16::from_bits(static_cast<std::uint16_t>(code));
        auto const wide = static_cast<float>(value);
        // A NaN comes back quiet, with its sign and the rest of its payload.
        auto const wanted = std::isnan(wide) ? (code | 0x40u) : code;
        changed += snug::bf16{wide}.bits != wanted;
    }
    CHECK(changed == 0);
}

TEST_CASE("a float between two bf16 values goes to the nearer, and halfway to the even one") {
    std::uint32_t wrong = 0;
    for (std::uint32_t code = 0; code < code_count; ++code) {
        auto const word = code << 16;
        if ((code & 0x7F80u) == 0x7F80u) continue;  // infinities and NaNs have no neighbour above
        auto const even = (code & 1u) == 0 ? code : code + 1;
        wrong += rounded_code(word + 0x7FFFu) != code;
        wrong += rounded_code(word + 0x8000u) != even;
        wrong += rounded_code(word + 0x8001u) != code + 1;
    }
    CHECK(wrong == 0);
}

TEST_CASE("no NaN becomes an infinity by losing the low half of its payload") {
    for (std::uint32_t const word : {0x7F800001u, 0xFF800001u, 0x7FFFFFFFu, 0xFFFFFFFFu, 0x7FA00000u}) {
        auto const code = rounded_code(word);
        INFO("float bits " << word);
        CHECK(std::isnan(static_cast<float>(snug::bf16::from_bits(code))));
        CHECK((code & 0x40u) != 0);
        CHECK((code & 0x8000u) == (word >> 16 & 0x8000u));
    }
}

TEST_CASE("what is larger than the largest bf16 by half a step or more becomes infinite") {
    constexpr auto largest = 0x7F7Fu << 16;
    CHECK(rounded_code(largest + 0x7FFFu) == 0x7F7F);
    CHECK(rounded_code(largest + 0x8000u) == 0x7F80);
    CHECK(snug::bf16{-std::numeric_limits<float>::max()}.bits == 0xFF80);
}
