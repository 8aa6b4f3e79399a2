// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>

#include <array>
#include <cmath>
#include <cstdint>
#include <map>
#include <set>
#include <vector>

#include <snug/random.hpp>

namespace numbers = snug::random;

namespace {
// Stored: a change of the generator would silently change every initialisation and every resumed run.
static_assert(numbers::bits(0, 0, 0) == 0x5a6900725415c43eu);
static_assert(numbers::bits(1, 2, 3) == 0xac16dab9b5cb71d3u);
static_assert(numbers::uniform(1, 2, 3) < 1.0f && numbers::uniform<double>(1, 2, 3) < 1.0);
}  // namespace

TEST_CASE("uniform numbers have the moments of a uniform distribution") {
    constexpr int n = 200'000;
    double sum = 0, squares = 0, product = 0, across = 0;
    std::array<int, 16> bins{};
    for (std::uint64_t i = 0; i < n; ++i) {
        auto const x = numbers::uniform<double>(7, 1, i);
        REQUIRE((x >= 0 && x < 1));
        sum += x;
        squares += x * x;
        product += (x - 0.5) * (numbers::uniform<double>(7, 1, i + 1) - 0.5);
        across += (x - 0.5) * (numbers::uniform<double>(7, 2, i) - 0.5);
        ++bins[static_cast<std::size_t>(x * 16)];
    }
    // Five standard errors each.
    CHECK(std::abs(sum / n - 0.5) < 5 * std::sqrt(1.0 / 12 / n));
    CHECK(std::abs(squares / n - 1.0 / 3) < 5 * std::sqrt(4.0 / 45 / n));
    CHECK(std::abs(product / n) < 5 * std::sqrt(1.0 / 144 / n));
    CHECK(std::abs(across / n) < 5 * std::sqrt(1.0 / 144 / n));
    for (auto const count : bins) CHECK(std::abs(count - n / 16.0) < 5 * std::sqrt(n / 16.0));
}

TEMPLATE_TEST_CASE("normal numbers have the moments of a normal distribution", "", float, double) {
    constexpr int n = 200'000;
    double sum = 0, squares = 0, cubes = 0, fourths = 0;
    int beyond_two = 0;
    for (std::uint64_t i = 0; i < n; ++i) {
        double const x = numbers::normal<TestType>(3, 4, i);
        REQUIRE(std::isfinite(x));
        sum += x;
        squares += x * x;
        cubes += x * x * x;
        fourths += x * x * x * x;
        beyond_two += std::abs(x) > 2;
    }
    CHECK(std::abs(sum / n) < 5 * std::sqrt(1.0 / n));
    CHECK(std::abs(squares / n - 1) < 5 * std::sqrt(2.0 / n));
    CHECK(std::abs(cubes / n) < 5 * std::sqrt(15.0 / n));
    CHECK(std::abs(fourths / n - 3) < 5 * std::sqrt(96.0 / n));
    CHECK(std::abs(beyond_two / static_cast<double>(n) - 0.0455) < 5 * std::sqrt(0.0455 / n));
}

TEST_CASE("seeds, streams and indices give different bits") {
    std::set<std::uint64_t> seen;
    for (std::uint64_t seed = 0; seed < 30; ++seed)
        for (std::uint64_t stream = 0; stream < 30; ++stream)
            for (std::uint64_t index = 0; index < 30; ++index)
                seen.insert(numbers::bits(seed, stream, index));
    CHECK(seen.size() == 27'000);
}

TEST_CASE("a permutation visits each index once, for every count") {
    for (std::uint64_t count = 1; count < 300; ++count) {
        std::vector<bool> visited(count);
        for (std::uint64_t i = 0; i < count; ++i) {
            auto const image = numbers::permuted(5, count, i, count);
            REQUIRE(image < count);
            REQUIRE_FALSE(visited[image]);
            visited[image] = true;
        }
    }
    // The ends of a range far beyond any table.
    constexpr auto huge = (std::uint64_t{1} << 40) + 1;
    CHECK(numbers::permuted(1, 1, 0, huge) < huge);
    CHECK(numbers::permuted(1, 1, huge - 1, huge) < huge);
}

TEST_CASE("permutations of few elements are equally likely") {
    std::map<std::array<std::uint64_t, 4>, int> times;
    constexpr int draws = 24'000;
    for (std::uint64_t stream = 0; stream < draws; ++stream) {
        std::array<std::uint64_t, 4> order{};
        for (std::uint64_t i = 0; i < 4; ++i) order[i] = numbers::permuted(9, stream, i, 4);
        ++times[order];
    }
    CHECK(times.size() == 24);
    for (auto const& [order, count] : times)
        CHECK(std::abs(count - draws / 24) < 5 * std::sqrt(draws / 24.0));
}
