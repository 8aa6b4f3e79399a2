// SPDX-License-Identifier: Apache-2.0
#include <snug/kernels/exact_sum.hpp>

#include <catch2/catch.hpp>

#include <omp.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <snug/backend/host.hpp>
#include <snug/ops/add_exact_sum.hpp>
#include <vector>

namespace {

using snug::kernels::exact_sum;
using limits = std::numeric_limits<double>;

double sum_of(std::vector<double> const& numbers) {
    exact_sum total{};
    for (double x : numbers) total.add(x);
    return total.value();
}

/// Squares over the whole range of fp32's.
std::vector<double> squares(std::size_t count) {
    std::mt19937_64 engine(3);
    std::normal_distribution<double> normal;
    std::uniform_int_distribution<int> exponent(-290, 250);
    std::vector<double> result(count);
    for (auto& x : result) x = std::ldexp(std::abs(normal(engine)), exponent(engine));
    return result;
}

}  // namespace

TEST_CASE("an exact sum is the same in any order and in any parts") {
    auto numbers = squares(10000);
    auto const expected = sum_of(numbers);
    std::mt19937_64 engine(4);
    for (auto const parts : std::vector<std::size_t>{1, 2, 3, 8, 64}) {
        std::shuffle(numbers.begin(), numbers.end(), engine);
        std::vector<exact_sum> sums(parts);
        for (std::size_t i = 0; i < numbers.size(); ++i) sums[i % parts].add(numbers[i]);
        for (std::size_t p = 1; p < parts; ++p)
            for (int k = 0; k < exact_sum::size; ++k) sums[0].parts[k] += sums[p].parts[k];
        CHECK(sums[0].value() == expected);
    }
    // What a double loses is there.
    std::vector<double> small(1 << 12, 0x1p-60);
    small.push_back(1);
    CHECK(sum_of(small) == 1 + 0x1p-48);
}

TEST_CASE("an exact sum of one number is the number, over the whole range of double") {
    for (double x : {0.0, limits::denorm_min(), limits::min(), 0x1.fffffffffffffp-1022, 0x1p-298, 1.0, 3.0,
                     0x1.23456789abcdep+77, 0x1p+1023, limits::max()})
        CHECK(sum_of({x}) == x);
    for (int e = -1074; e < 1024; ++e) CHECK(sum_of({std::ldexp(1.0, e)}) == std::ldexp(1.0, e));
    for (double x : squares(1000)) CHECK(sum_of({x}) == x);
    CHECK(sum_of({limits::max(), limits::max()}) == limits::infinity());
    CHECK(sum_of(std::vector<double>(5, limits::denorm_min())) == 5 * limits::denorm_min());
    CHECK(std::isnan(sum_of({1, limits::infinity()})));
    CHECK(std::isnan(sum_of({limits::quiet_NaN(), 1})));
    static_assert([] {
        exact_sum total{};
        total.add(0.25);
        total.add(1e300);
        return total.value() == 1e300;
    }());
}

TEST_CASE("the sum of squares of an array has the same bits with any number of threads") {
    std::vector<float> values(3 * 1000);
    std::mt19937 engine(5);
    std::normal_distribution<float> normal;
    for (auto& x : values) x = normal(engine);
    auto const square = [first = values.data()](snug::index_t i) {
        return static_cast<double>(first[i]) * static_cast<double>(first[i]);
    };
    auto const sum_with = [&](int threads) {
        omp_set_num_threads(threads);
        exact_sum total{};
        snug::ops::add_exact_sum(snug::host{}, 3, 1000, &total, square);
        return total.value();
    };
    auto const expected = sum_with(1);
    CHECK(sum_with(2) == expected);
    CHECK(sum_with(7) == expected);
    double plain = 0;
    for (snug::index_t i = 0; i < 3000; ++i) plain += square(i);
    CHECK(std::abs(expected - plain) <= 1e-12 * plain);
}
