// SPDX-License-Identifier: Apache-2.0
// Optimizer states in blocks of codes on a device.
#pragma once

#include <catch2/catch.hpp>

#include <algorithm>
#include <cstring>
#include <snug/backend/cuda/for_each_row.cuh>
#include <snug/backend/host/team.hpp>
#include <snug/ops/for_each_row.hpp>
#include <snug/optimizers/state_block.cuh>
#include <snug/optimizers/state_block.hpp>
#include <snug/random.hpp>
#include <vector>

#include "device_array.hpp"

namespace {

using snug::index_t;
namespace codebooks = snug::quantization::codebooks;

/// Row b: the b-th 256 of the numbers become a block, ...
struct to_blocks {
    template <class Block>
    constexpr void operator()(auto team, index_t b, Block* blocks, float const* numbers,
                              index_t count) const {
        auto const first = b * Block::elements;
        auto const here = std::min(Block::elements, count - first);
        typename snug::optimizers::window_of<decltype(team), Block>::type window(blocks, first);
        team.for_each_owned(here, [&](index_t i) { window.values[i] = numbers[first + i]; });
        window.store(here);
    }
};
/// ... and a block becomes these numbers.
struct from_blocks {
    template <class Block>
    constexpr void operator()(auto team, index_t b, Block* blocks, float* numbers, index_t count) const {
        auto const first = b * Block::elements;
        auto const here = std::min(Block::elements, count - first);
        typename snug::optimizers::window_of<decltype(team), Block>::type window(blocks, first);
        team.for_each_owned(here, [&](index_t i) { numbers[first + i] = window.values[i]; });
    }
};

template <class Map>
void check_blocks(bool is_signed) {
    using block = snug::optimizers::state_block<Map>;
    for (index_t const count : {1, 127, 129, 256, 1000, 4096}) {
        std::vector<float> numbers(static_cast<std::size_t>(count));
        for (std::size_t i = 0; i < numbers.size(); ++i) {
            // Scales of their own for every 128, and runs of zeros.
            auto const x = snug::random::normal(3, 0, i) * (i / 128 % 3 == 1 ? 1e-9f : 1.0f);
            numbers[i] = i / 64 % 7 == 5 ? 0 : is_signed ? x : x * x;
        }
        auto const rows = (count + block::elements - 1) / block::elements;
        block const blank{};
        std::vector<block> wanted(static_cast<std::size_t>(rows), blank);
        std::vector<float> decoded(numbers.size());
        for (index_t b = 0; b < rows; ++b) {
            to_blocks{}(snug::backend::host::serial_team{}, b, wanted.data(),
                        static_cast<float const*>(numbers.data()), count);
            from_blocks{}(snug::backend::host::serial_team{}, b, wanted.data(), decoded.data(), count);
        }
        snug_test::device_array<block> const found(std::vector<block>(wanted.size(), blank));
        snug_test::device_array<float> const from(numbers), to(numbers.size());
        snug::ops::for_each_row<block::elements>(
            snug_test::on(), rows,
            snug::ops::bound<to_blocks>(found.data(), static_cast<float const*>(from.data()), count));
        snug::ops::for_each_row<block::elements>(
            snug_test::on(), rows, snug::ops::bound<from_blocks>(found.data(), to.data(), count));
        INFO(block::name << ", " << count << " elements");
        CHECK(snug_test::same_bits(found.values(), wanted));
        CHECK(snug_test::same_bits(to.values(), decoded));
    }
}

}  // namespace

TEST_CASE("blocks of 8-bit and of 4-bit codes have the bits of the host") {
    check_blocks<codebooks::dynamic_signed>(true);
    check_blocks<codebooks::dynamic_unsigned>(false);
    check_blocks<codebooks::dynamic_signed_4bit>(true);
    check_blocks<codebooks::unsigned_linear_4bit>(false);
}
