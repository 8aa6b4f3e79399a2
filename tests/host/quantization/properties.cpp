// SPDX-License-Identifier: Apache-2.0
#include <snug/quantization/schemes.hpp>

#include <catch2/catch.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <random>
#include <span>
#include <string>
#include <vector>

#include <snug/meta.hpp>
#include <snug/precision/formats.hpp>

// What holds for every scheme, over random shapes and numbers.
namespace {

namespace quantization = snug::quantization;
using namespace snug::quantization;
using snug::index_t;

using every_scheme = snug::meta::list<
    type_range<>, absmax, absmax_4bit, affine, affine_4bit, quantile, quantile_4bit, blockwise<absmax, 64>,
    blockwise<affine, 32>, blockwise<absmax_4bit, 64>, blockwise<affine_4bit, 2>, nf4<64>,
    nf4<64, dialects::torchao>, fp4<64>, quantization::int8<256>, double_quantized<nf4<64>>,
    double_quantized<nf4<64, dialects::torchao>, 4>, double_quantized<blockwise<affine, 32>, 8>,
    double_quantized<quantization::int8<256>>, outlier_split<threshold<3>, nf4<64>, outlier_columns<1024>>,
    outlier_split<threshold<3>, absmax, outlier_columns<1024>, float>>;

template <class F>
void for_every_scheme(F const& f) {
    snug::meta::mp::mp_for_each<snug::meta::mp::mp_transform<std::type_identity, every_scheme>>(
        [&](auto scheme) { f(scheme); });
}
#define SCHEME typename decltype(scheme)::type

/// Normal numbers, a few of them large, some zero; sizes at all magnitudes.
std::vector<float> random_numbers(index_t count, std::mt19937::result_type seed) {
    std::mt19937 random(seed);
    std::normal_distribution<float> normal;
    float const size = std::ldexp(1.0f, static_cast<int>(random() % 60) - 30);
    std::vector<float> values(static_cast<std::size_t>(count));
    for (float& value : values) {
        auto const kind = random() % 100;
        value = kind < 2 ? 0.0f : size * normal(random) * (kind < 4 ? 10.0f : 1.0f);
    }
    return values;
}

constexpr shape some_shapes[] = {{1, 1},  {1, 2},   {3, 1},   {1, 63},  {1, 64},  {1, 65},   {7, 9},
                                 {5, 64}, {33, 31}, {1, 255}, {2, 512}, {17, 97}, {64, 256}, {3, 5461}};

/// A region with a guard behind it.
template <class Scheme>
struct guarded_region {
    explicit guarded_region(shape extent)
        : size(static_cast<std::size_t>(Scheme::storage(extent).count)), memory(size + 128) {
        std::fill(memory.begin() + static_cast<std::ptrdiff_t>(size), memory.end(), std::byte{0xA5});
    }
    std::byte* data() {
        auto const address = reinterpret_cast<std::uintptr_t>(memory.data());
        REQUIRE(address % 4 == 0);
        return memory.data();
    }
    bool guard_is_whole() const {
        return std::all_of(memory.begin() + static_cast<std::ptrdiff_t>(size), memory.end(),
                           [](std::byte b) { return b == std::byte{0xA5}; });
    }
    std::size_t size;
    std::vector<std::byte> memory;
};

/// Half the widest step between two codes, relative to the largest magnitude of a block.
template <class Scheme>
constexpr float relative_bound = 0;
template <codebook C>
constexpr float table_bound = [] {
    float widest = 0;
    auto const order = quantization::detail::order<C>;
    for (std::size_t i = 0; i + 1 < C::values.size(); ++i)
        widest = std::max(widest, C::values[order[i + 1]] - C::values[order[i]]);
    return std::max(widest / 2, 1 + C::values[order[0]]);
}();
template <codebook C, class D, index_t B>
constexpr float relative_bound<blocked<table_code<C, D>, B>> = table_bound<C>;
template <int Bits, index_t B>
constexpr float relative_bound<blocked<symmetric_code<Bits>, B>> = 0.5f / ((1 << (Bits - 1)) - 1);
template <int Bits, index_t B>
constexpr float relative_bound<blocked<affine_code<Bits>, B>> = 1.0f /
                                                                ((1 << Bits) - 1);  // of up to twice absmax

/// By what the scale is multiplied at most.
template <class Code>
constexpr float largest_code = 1;
template <int Bits>
constexpr float largest_code<symmetric_code<Bits>> = symmetric_code<Bits>::steps;
template <int Bits>
constexpr float largest_code<affine_code<Bits>> = affine_code<Bits>::highest;

struct shuffled_loop {
    template <class F>
    void operator()(index_t count, F const& f) const {
        index_t const step = 7;
        for (index_t start = step - 1; start >= 0; --start)
            for (index_t i = start; i < count; i += step) f(i);
    }
};

struct thread_loop {
    template <class F>
    void operator()(index_t count, F const& f) const {
#pragma omp parallel for schedule(dynamic, 1)
        for (index_t i = 0; i < count; ++i) f(i);
    }
};

}  // namespace

TEST_CASE("a decoded number is no farther away than half a step between two codes of its block") {
    for_every_scheme([](auto scheme) {
        using tested = SCHEME;
        if constexpr (requires {
                          typename tested::code;
                          tested::block;
                      }) {
            constexpr float bound = relative_bound<blocked<typename tested::code, tested::block>>;
            unsigned seed = 0;
            for (auto const extent : some_shapes) {
                auto const values = random_numbers(extent.count(), ++seed);
                quantized_array<tested> const array(values, extent);
                auto const decoded = array.decoded();
                snug::index_t too_far = 0;
                for (snug::index_t i = 0; i < extent.count(); ++i) {
                    auto const block = array.view().parameters(i / tested::block);
                    snug::index_t const first = i / tested::block * tested::block;
                    snug::index_t const count = std::min(tested::block, extent.count() - first);
                    auto const found = quantization::detail::extremes_of(values.data() + first, count);
                    // A quantized scale is not the one for which the nearest code was chosen.
                    auto const exact = tested::code::measure(found, count < tested::block);
                    float const scale_error =
                        largest_code<typename tested::code> * std::fabs(block.scale - exact.scale);
                    float const largest = found.absmax();
                    float const error =
                        std::fabs(decoded[static_cast<std::size_t>(i)] - values[static_cast<std::size_t>(i)]);
                    too_far += error > largest * bound * 1.0001f + scale_error + 1e-36f;
                }
                INFO("bound " << bound << ", " << extent.rows << " x " << extent.columns);
                CHECK(bound > 0);
                CHECK(too_far == 0);
            }
        }
    });
}

TEST_CASE("any part of a matrix decodes to the same bits as the whole, and bf16 is the rounded float") {
    for_every_scheme([](auto scheme) {
        using tested = SCHEME;
        std::mt19937 random(5);
        for (auto const extent : some_shapes) {
            quantized_array<tested> const array(random_numbers(extent.count(), random()), extent);
            auto const whole = array.decoded();
            for (int trial = 0; trial < 12; ++trial) {
                auto const first = static_cast<snug::index_t>(random()) % extent.count();
                auto const count = static_cast<snug::index_t>(random()) % (extent.count() - first + 1);
                std::vector<float> part(static_cast<std::size_t>(count) + 1, 77.0f);
                std::vector<snug::bf16> narrow(static_cast<std::size_t>(count) + 1, snug::bf16(77.0f));
                array.decode(first, count, part.data());
                array.decode(first, count, narrow.data());
                snug::index_t different = 0;
                for (snug::index_t i = 0; i < count; ++i) {
                    auto const at = static_cast<std::size_t>(i);
                    float const wanted = whole[static_cast<std::size_t>(first + i)];
                    different +=
                        std::bit_cast<std::uint32_t>(part[at]) != std::bit_cast<std::uint32_t>(wanted);
                    different += narrow[at].bits != snug::bf16(wanted).bits;
                }
                INFO(extent.rows << " x " << extent.columns << ", from " << first << ", " << count);
                CHECK(different == 0);
                CHECK(part.back() == 77.0f);
                CHECK(static_cast<float>(narrow.back()) == 77.0f);
            }
        }
    });
}

TEST_CASE("encoding writes within its bytes, and the same ones whatever the order and the threads") {
    for_every_scheme([](auto scheme) {
        using tested = SCHEME;
        for (auto const extent : {shape{7, 9}, shape{3, 5461}, shape{256, 300}}) {
            auto const values = random_numbers(extent.count(), 11);
            guarded_region<tested> one(extent), other(extent), third(extent);
            tested::encode(values, extent, one.data());
            tested::encode(values, extent, other.data(), shuffled_loop{});
            tested::encode(values, extent, third.data(), thread_loop{});
            CHECK(one.guard_is_whole());
            CHECK(one.memory == other.memory);
            CHECK(one.memory == third.memory);
        }
    });
}

TEST_CASE("bf16 numbers are encoded as the floats they are") {
    for_every_scheme([](auto scheme) {
        using tested = SCHEME;
        shape const extent{33, 31};
        std::vector<snug::bf16> narrow;
        std::vector<float> wide;
        for (float const value : random_numbers(extent.count(), 3)) {
            narrow.emplace_back(value);
            wide.push_back(narrow.back());
        }
        CHECK(quantized_array<tested>(narrow, extent).decoded() ==
              quantized_array<tested>(wide, extent).decoded());
    });
}

TEST_CASE("NaN and infinities are refused with the snug::index of the first") {
    float const inf = std::numeric_limits<float>::infinity();
    float const nan = std::numeric_limits<float>::quiet_NaN();
    for_every_scheme([&](auto scheme) {
        using tested = SCHEME;
        for (snug::index_t const where : {0, 1, 63, 64, 500, 992}) {
            for (auto const& [bad, name] :
                 {std::pair{nan, "NaN"}, {-nan, "NaN"}, {inf, "infinity"}, {-inf, "-infinity"}}) {
                auto values = random_numbers(993, 2);
                values[static_cast<std::size_t>(where)] = bad;
                values[992] = where < 992 ? inf : bad;
                auto const wanted = "found " + std::string(name) + " at element " + std::to_string(where) +
                                    ", expected finite numbers to quantize";
                CHECK_THROWS_WITH(quantized_array<tested>(values, thread_loop{}), wanted);
            }
        }
    });
}

TEST_CASE("floats up to 1e38 and down to the smallest are quantized without overflow") {
    for_every_scheme([](auto scheme) {
        using tested = SCHEME;
        std::vector<float> values(200);
        for (float const size : {1e38f, 1e-30f, 1e-37f, 1e-40f, std::numeric_limits<float>::denorm_min()}) {
            for (std::size_t i = 0; i < values.size(); ++i)
                values[i] = size * (static_cast<float>(static_cast<int>(i) - 100) / 100);
            snug::index_t wrong = 0;
            for (float const value : quantized_array<tested>(values).decoded())
                wrong += !(std::fabs(value) <= std::max(2 * size, 1e-36f));
            INFO(size);
            CHECK(wrong == 0);
        }
    });
}

TEST_CASE("zeros stay zeros, a block of them too") {
    for_every_scheme([](auto scheme) {
        using tested = SCHEME;
        for (snug::index_t const count : {1, 2, 64, 100, 300, 70000}) {
            std::vector<float> const zeros(static_cast<std::size_t>(count));
            snug::index_t changed = 0;
            for (float const value : quantized_array<tested>(zeros).decoded()) changed += value != 0;
            CHECK(changed == 0);
        }
        if constexpr (!std::is_base_of_v<quantization::detail::quantile_scheme<8>, tested> &&
                      !std::is_base_of_v<quantization::detail::quantile_scheme<4>, tested>) {
            auto values = random_numbers(640, 4);
            std::fill(values.begin() + 128, values.begin() + 256, 0.0f);
            auto const decoded = quantized_array<tested>(values).decoded();
            CHECK(std::all_of(decoded.begin() + 128, decoded.begin() + 256, [](float x) { return x == 0; }));
        }
    });
}

TEST_CASE("an empty array takes no bytes and is quantized and decoded without touching any") {
    for_every_scheme([](auto scheme) {
        using tested = SCHEME;
        STATIC_REQUIRE(tested::storage(shape{0, 0}).count == 0);
        STATIC_REQUIRE(tested::storage(shape{3, 0}).count == 0);
        CHECK(quantized_array<tested>(std::vector<float>{}).decoded().empty());
    });
}

TEST_CASE("a matrix of another size than its shape says is refused") {
    for_every_scheme([](auto scheme) {
        using tested = SCHEME;
        std::vector<float> const values(10);
        CHECK_THROWS_WITH(quantized_array<tested>(values, shape{3, 4}),
                          "found 10 numbers to quantize, expected 3 x 4");
    });
}
