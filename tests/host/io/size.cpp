// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>

#include <cstdint>
#include <type_traits>

#include <snug/io/size.hpp>

#include "faults.hpp"

using Catch::Matchers::Contains;
using snug::io::checked;

namespace {
constexpr std::uint64_t largest = ~std::uint64_t{0};

static_assert((checked(3) + 4).index() == 7);
static_assert((checked(7) - 7).index() == 0);
static_assert((checked(1u << 31) * (1u << 31)).index() == std::int64_t{1} << 62);
static_assert(checked(10) / 3 == 3 && checked(10) % 3 == 1);
static_assert(checked(65).rounded_up(64) == 128 && checked(64).rounded_up(64) == 64 &&
              checked(0).rounded_up(64) == 0);
static_assert(checked(255).narrow<std::uint8_t>() == 255);
static_assert(checked(2) < 3 && checked(largest) > std::int64_t{1});
static_assert(!std::is_convertible_v<double, checked> && !std::is_constructible_v<checked, bool>);
// A place that dies at the end of the line can't be referred to.
static_assert(!std::is_constructible_v<checked, int, snug::place>);
static_assert(std::is_constructible_v<checked, int, snug::place const&>);
}  // namespace

TEST_CASE("a size from a file never wraps") {
    CHECK_THAT(test::refusal([] { checked(largest) + 1; }), Contains("18446744073709551615 + 1"));
    CHECK_THAT(test::refusal([] { checked(3) - 4; }), Contains("3 - 4"));
    CHECK_THAT(test::refusal([] { checked(std::uint64_t{1} << 32) * (std::uint64_t{1} << 32); }),
               Contains(" * "));
    CHECK_THAT(test::refusal([] { checked(3) / 0; }), Contains("3 / 0"));
    CHECK_THAT(test::refusal([] { checked(3) % 0; }), Contains("3 % 0"));
    CHECK_THAT(test::refusal([] { checked(largest).rounded_up(64); }), Contains(" + "));
    CHECK_THAT(test::refusal([] { checked(-1); }), Contains("a size of -1"));
    CHECK((checked(largest) + 0).value() == largest);
    CHECK((checked(largest) * 1).value() == largest);
    CHECK((checked(0) * largest).value() == 0);
}

TEST_CASE("a size becomes an index only when it fits") {
    CHECK_THAT(test::refusal([] { checked(std::uint64_t{1} << 63).index(); }),
               Contains("9223372036854775807"));
    CHECK_THAT(test::refusal([] { checked(256).narrow<std::uint8_t>(); }), Contains("at most 255"));
    CHECK(checked((std::uint64_t{1} << 63) - 1).index() == INT64_MAX);
}

TEST_CASE("a refused size says where it was read") {
    snug::place const where{"model.bin", 40, "wte"};
    checked const count(1000, where);
    try {
        (void)(2 * count * largest);
        FAIL("not refused");
    } catch (snug::error const& refused) {
        CHECK(refused.where().file == "model.bin");
        CHECK(refused.where().offset == 40);
        CHECK(refused.where().tensor == "wte");
    }
    CHECK_THAT(test::refusal([&] { checked(-5, where); }), Contains("model.bin, byte 40, tensor wte"));
    CHECK_THAT(test::refusal([&] { (void)(1 - count); }), Contains("model.bin"));
}
