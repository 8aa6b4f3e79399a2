// SPDX-License-Identifier: Apache-2.0
#include <snug/quantization/double_quantized.hpp>
#include <snug/quantization/fp4.hpp>
#include <snug/quantization/int8.hpp>
#include <snug/quantization/nf4.hpp>
#include <snug/quantization/quantized_array.hpp>

#include <catch2/catch.hpp>

#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "reference/fixture.hpp"

// tests/reference/make_quantization_fixtures.py made the fixture with bitsandbytes and torchao.
namespace {

namespace quantization = snug::quantization;
using quantization::double_quantized;
using quantization::nf4;
using quantization::quantized_array;
using snug::index_t;

snug_test::fixture const& reference() {
    static snug_test::fixture const data{SNUG_TEST_DATA "/quantization.fixture"};
    return data;
}

std::vector<float> floats(std::string const& name) {
    auto const& values = reference()[name].values;
    return {values.begin(), values.end()};
}

template <class T>
std::uint64_t fnv1a(std::vector<T> const& values) {
    std::uint64_t hash = 0xCBF29CE484222325;
    for (auto const byte : std::as_bytes(std::span{values}))
        hash = (hash ^ static_cast<std::uint64_t>(byte)) * 0x100000001B3;
    return hash;
}

std::uint64_t stored_hash(std::string const& name) {
    auto const& halves = reference()[name].values;
    auto const half = [&](std::size_t i) {
        return std::uint64_t{static_cast<std::uint32_t>(static_cast<std::int32_t>(halves[i]))};
    };
    return half(0) | half(1) << 32;
}

/// How many elements of a stored tensor are not those at `found`, to the bit.
template <class T>
index_t differences(T const* found, std::string const& name) {
    auto const& values = reference()[name].values;
    index_t count = 0;
    for (std::size_t i = 0; i < values.size(); ++i) {
        auto const wanted = static_cast<T>(values[i]);
        if constexpr (sizeof(T) == 4)
            count += std::bit_cast<std::uint32_t>(wanted) != std::bit_cast<std::uint32_t>(found[i]);
        else count += wanted != found[i];
    }
    return count;
}

template <class Scheme, index_t Group = 256>
void compare(std::string const& name, std::string const& scheme) {
    using nested = double_quantized<Scheme, Group>;
    auto const values = floats(name);
    auto const prefix = name + "." + scheme + ".";
    INFO(prefix);

    quantized_array<Scheme> const plain{values};
    CHECK(differences(plain.view().codes, prefix + "codes") == 0);
    CHECK(differences(plain.view().scales.values, prefix + "scales") == 0);
    CHECK(fnv1a(plain.decoded()) == stored_hash(prefix + "values"));

    quantized_array<nested> const twice{values};
    CHECK(differences(twice.view().codes, prefix + "codes") == 0);
    CHECK(differences(twice.view().scales.codes, prefix + "nested_codes") == 0);
    CHECK(differences(twice.view().scales.seconds, prefix + "nested_scales") == 0);
    CHECK(differences(twice.view().scales.mean, prefix + "mean") == 0);
    CHECK(fnv1a(twice.decoded()) == stored_hash(prefix + "nested_values"));
}

}  // namespace

TEST_CASE("the codebooks are those of bitsandbytes to the bit") {
    CHECK(differences(quantization::codebooks::nf4::values.data(), "table.nf4") == 0);
    CHECK(differences(quantization::codebooks::fp4::values.data(), "table.fp4") == 0);
    CHECK(differences(quantization::codebooks::dynamic_signed::values.data(), "table.dynamic_signed") == 0);
    CHECK(differences(quantization::codebooks::dynamic_unsigned::values.data(), "table.dynamic_unsigned") ==
          0);
}

TEST_CASE("codes, scales and numbers are those of bitsandbytes to the bit, the scales quantized or not") {
    for (std::string const name :
         {"normal", "outliers", "odd", "zeros", "all_zeros", "tiny", "one", "midpoints"}) {
        compare<nf4<64>>(name, "nf4_64");
        compare<nf4<256>>(name, "nf4_256");
        compare<quantization::fp4<64>>(name, "fp4_64");
        compare<quantization::int8<256>>(name, "int8_256");
        compare<quantization::int8<64>, 64>(name, "int8_64");
    }
}

TEST_CASE("bf16 numbers give the codes, and as bf16 the numbers, of bitsandbytes") {
    for (std::string const name : {"odd", "outliers"}) {
        std::vector<snug::bf16> values;
        for (float const value : floats(name)) values.emplace_back(value);
        quantized_array<nf4<64>> const array{values};
        CHECK(differences(array.view().codes, name + ".nf4_bf16.codes") == 0);
        CHECK(fnv1a(array.decoded<snug::bf16>()) == stored_hash(name + ".nf4_bf16.values"));
    }
}

TEST_CASE("codes, scales and numbers of the dialect torchao are torchao's to the bit") {
    auto values = floats("normal");
    values.resize(64 * 256);
    quantized_array<double_quantized<nf4<64, quantization::dialects::torchao>, 128>> const array{values};
    CHECK(differences(array.view().codes, "normal.torchao.codes") == 0);
    CHECK(differences(array.view().scales.codes, "normal.torchao.nested_codes") == 0);
    CHECK(differences(array.view().scales.seconds, "normal.torchao.nested_factors") == 0);
    CHECK(differences(array.view().scales.mean, "normal.torchao.mean") == 0);
    CHECK(fnv1a(array.decoded()) == stored_hash("normal.torchao.nested_values"));
}

TEST_CASE("the two dialects of NF4 are not the same") {
    auto const values = floats("normal");
    quantized_array<nf4<64>> const one{values};
    quantized_array<nf4<64, quantization::dialects::torchao>> const other{values};
    CHECK(one.decoded() != other.decoded());
}
