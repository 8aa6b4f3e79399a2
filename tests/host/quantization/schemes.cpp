// SPDX-License-Identifier: Apache-2.0
#include <snug/quantization/schemes.hpp>

#include <catch2/catch.hpp>

#include <algorithm>
#include <boost/math/distributions/normal.hpp>
#include <cmath>
#include <cstddef>
#include <limits>
#include <random>
#include <span>
#include <string>
#include <vector>

#include <snug/precision/formats.hpp>

// What single schemes promise.
namespace {

namespace quantization = snug::quantization;
using namespace snug::quantization;
using snug::index_t;

std::vector<float> normal_numbers(index_t count, float deviation = 1) {
    std::mt19937 random(17);
    std::normal_distribution<float> normal(0, deviation);
    std::vector<float> values(static_cast<std::size_t>(count));
    for (float& value : values) value = normal(random);
    return values;
}

/// One number in `every` is made 20 times as large.
std::vector<float> with_outliers(std::vector<float> values, index_t every) {
    for (std::size_t i = 7; i < values.size(); i += static_cast<std::size_t>(every)) values[i] *= 20;
    return values;
}

template <class Scheme>
waste waste_of(std::vector<float> const& values) {
    quantized_array<Scheme> const array(values);
    return measure_waste<Scheme>(values, array.view());
}

template <class Scheme>
double error_of(std::vector<float> const& values) {
    return waste_of<Scheme>(values).mean_squared_error;
}

}  // namespace

TEST_CASE("quantiles of the normal distribution are those of Boost.Math") {
    boost::math::normal_distribution<long double> const distribution;
    for (double const p : {1e-290, 1e-100, 1e-20, 1e-5, 0.01, 0.0449, 0.0451, 0.1, 0.3, 0.49999, 0.5 + 1e-9,
                           0.6, 0.8, 0.9, 0.9549, 0.9551, 0.9677083, 0.999}) {
        auto const wanted =
            static_cast<double>(boost::math::quantile(distribution, static_cast<long double>(p)));
        INFO(p);
        CHECK(std::fabs(normal::quantile(p) - wanted) <= 1e-15 * std::fabs(wanted));
    }
    CHECK(normal::quantile(0.5) == 0);
}

// At 4.5 bits and blocks of 64. QLoRA's table of perplexities (arXiv 2305.14314, table 2) has FP4 before Int4; the mean
// squared error of normal numbers does not, because FP4 has its gaps where such blocks have most of their numbers.
TEST_CASE("of normal numbers NF4 loses least at equal bits, then int4, then FP4") {
    auto const values = normal_numbers(1 << 18);
    double const nf4_error = error_of<nf4<64>>(values);
    double const int4_error = error_of<blockwise<absmax_4bit, 64>>(values);
    double const fp4_error = error_of<fp4<64>>(values);
    STATIC_REQUIRE(bits_per_element<nf4<64>>({1, 1 << 18}) ==
                   bits_per_element<blockwise<absmax_4bit, 64>>({1, 1 << 18}));
    STATIC_REQUIRE(bits_per_element<nf4<64>>({1, 1 << 18}) == bits_per_element<fp4<64>>({1, 1 << 18}));
    CHECK(nf4_error < 0.8 * int4_error);
    CHECK(int4_error < 0.9 * fp4_error);
}

TEST_CASE("where one number in 1000 is an outlier, NF4 loses least, then FP4, then int4") {
    auto const values = with_outliers(normal_numbers(1 << 18), 1000);
    CHECK(error_of<nf4<256>>(values) < 0.8 * error_of<fp4<256>>(values));
    CHECK(error_of<fp4<256>>(values) < error_of<blockwise<absmax_4bit, 256>>(values));
    CHECK(error_of<fp4<1024>>(values) < 0.95 * error_of<blockwise<absmax_4bit, 1024>>(values));
}

TEST_CASE("quantizing the scales of NF4 costs little") {
    auto const values = normal_numbers(1 << 18);
    CHECK(error_of<double_quantized<nf4<64>>>(values) < 1.002 * error_of<nf4<64>>(values));
}

TEST_CASE("one outlier ruins absmax, and only its own block of the block-wise scheme") {
    auto values = normal_numbers(1 << 16);
    double const before = error_of<absmax>(values);
    double const blockwise_before = error_of<blockwise<absmax, 64>>(values);
    values[1000] = 200;
    CHECK(error_of<absmax>(values) > 500 * before);
    CHECK(error_of<blockwise<absmax, 64>>(values) < 10 * blockwise_before);
    CHECK(error_of<quantization::int8<256>>(values) < 0.01 * error_of<absmax>(values));
    CHECK(waste_of<absmax>(values).used < 16);
}

TEST_CASE("affine codes of numbers on one side of zero are twice as fine as absmax") {
    auto values = normal_numbers(1 << 16);
    for (float& value : values) value = std::fabs(value);
    CHECK(waste_of<affine>(values).used > 1.9 * waste_of<absmax>(values).used);
    CHECK(error_of<affine>(values) < 0.26 * error_of<absmax>(values));
}

TEST_CASE("the range of fp16 leaves one code for weights, a range that fits more") {
    auto const values = normal_numbers(1 << 16);
    auto const wide = waste_of<type_range<snug::fp16>>(values);
    CHECK(wide.used == 1);
    CHECK(wide.entropy == 0);
    CHECK(wide.signal_to_noise == 0);
    CHECK(waste_of<type_range<snug::fp4_e2m1>>(values).used > 128);
    // Beyond the range everything is its end.
    std::vector<float> const beyond{-100, 100, 6, -6};
    CHECK(quantized_array<type_range<snug::fp4_e2m1>>(beyond).decoded() == std::vector<float>{-6, 6, 6, -6});
}

TEST_CASE("quantile codes are used alike, whatever the distribution") {
    auto values = normal_numbers(1 << 16);
    for (float& value : values) value = std::exp(2 * value);
    auto const found = waste_of<quantile>(values);
    CHECK(found.used == 256);
    CHECK(found.entropy > 7.9);
    CHECK(waste_of<quantile_4bit>(values).entropy > 3.75);
}

TEST_CASE("the table of quantile is what sorting gives, from the lowest number to the highest") {
    for (snug::index_t const count : {1, 2, 3, 100, 255, 256, 257, 5000}) {
        auto values = normal_numbers(count, 1e3f);
        for (std::size_t i = 0; i < values.size(); i += 5) values[i] = values[0];
        quantized_array<quantile> const array(values);
        auto const* const table = array.view().values;
        std::sort(values.begin(), values.end());
        snug::index_t wrong = 0;
        for (snug::index_t i = 0; i < 256; ++i)
            wrong += table[i] != values[static_cast<std::size_t>((count - 1) * i / 255)];
        INFO(count);
        CHECK(wrong == 0);
    }
}

TEST_CASE("up to 256 distinct numbers survive quantile exactly") {
    auto few = normal_numbers(256);
    few.insert(few.end(), {-0.0f, 1e-40f, -1e-40f, 3e38f});
    few.erase(few.begin(), few.begin() + 4);
    CHECK(quantized_array<quantile>(few).decoded() == few);
}

TEST_CASE("columns with outliers are kept, each in its place, and the rest is quantized without them") {
    shape const extent{40, 50};
    auto values = normal_numbers(extent.count());
    for (snug::index_t row = 0; row < 40; ++row)
        for (snug::index_t const column : {0, 17, 49})
            values[static_cast<std::size_t>(row * 50 + column)] *= 30;
    using split = outlier_split<threshold<4>, absmax, outlier_columns<3>, float>;
    quantized_array<split> const array(values, extent);
    auto const view = array.view();
    CHECK(std::vector<std::uint32_t>(view.columns, view.columns + 4) ==
          std::vector<std::uint32_t>{3, 0, 17, 49});
    auto const decoded = array.decoded();
    double worst = 0;
    for (snug::index_t i = 0; i < extent.count(); ++i) {
        auto const at = static_cast<std::size_t>(i);
        auto const column = i % 50;
        if (column == 0 || column == 17 || column == 49) CHECK(decoded[at] == values[at]);
        else worst = std::max(worst, std::fabs(double{decoded[at]} - double{values[at]}));
    }
    CHECK(worst < 0.03);  // half a step of numbers up to 5
    CHECK(error_of<absmax>(values) > 0.02);
}

TEST_CASE("more columns with outliers than there is room for are refused") {
    auto values = normal_numbers(2000);
    for (std::size_t const i : {3u, 300u, 1999u}) values[i] = 500;
    using two = outlier_split<threshold<6>, absmax, outlier_columns<2>>;
    CHECK_THROWS_WITH(quantized_array<two>(values),
                      Catch::Contains("found outliers in more than 2 columns, expected no more than"));
    CHECK_NOTHROW(quantized_array<outlier_split<threshold<6>, absmax, outlier_columns<3>>>(values));
}

TEST_CASE("a kept number too large for its format becomes the largest") {
    std::vector<float> values(100, 0.5f);
    values[9] = 1e30f;
    auto const decoded =
        quantized_array<outlier_split<threshold<1>, absmax, outlier_columns<16>, snug::fp16>>(values)
            .decoded();
    CHECK(decoded[9] == 65504.0f);
    CHECK(decoded[10] == 0.5f);
}

TEST_CASE("waste counts codes, entropy and errors") {
    std::vector<float> const values{-1, 1, 1, 0.5f};
    auto const found = waste_of<blockwise<absmax_4bit, 64>>(values);
    CHECK(found.codes == 16);
    CHECK(found.used == 3);
    CHECK(found.entropy == Approx(1.5));
    // 0.5 is 3.5 of 7 steps, which rounds to 4.
    CHECK(found.largest_error == Approx(0.5 / 7));
    CHECK(found.mean_squared_error == Approx(0.25 / 49 / 4));
    CHECK(found.signal_to_noise == Approx(10 * std::log10(3.25 * 49 / 0.25)));
    CHECK(std::isinf(waste_of<absmax>({0, 127, -127, 1}).signal_to_noise));
}

TEST_CASE("every scheme can say how it is written") {
    CHECK(nf4<64>::name() == "nf4<64>");
    CHECK(nf4<128, dialects::torchao>::name() == "nf4<128, torchao>");
    CHECK(double_quantized<fp4<64>>::name() == "double_quantized<fp4<64>, 256>");
    CHECK(double_quantized<blockwise<affine_4bit, 32>, 8>::name() ==
          "double_quantized<blockwise<affine_4bit, 32>, 8>");
    CHECK(type_range<>::name() == "type_range<fp16>");
    CHECK(outlier_split<threshold<6>, quantization::int8<256>>::name() ==
          "outlier_split<threshold<6>, int8<256>, outlier_columns<16>, bf16>");
    CHECK(outlier_split<threshold<7, 2>, quantile, outlier_columns<4>, float>::name() ==
          "outlier_split<threshold<7, 2>, quantile, outlier_columns<4>, fp32>");
    CHECK(name_of<int>() == "unnamed");
}
