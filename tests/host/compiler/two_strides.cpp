// SPDX-License-Identifier: Apache-2.0
// g++ 12 at -O1 and -O2 takes a loop that copies between two places of one block of memory, with elements of two sizes, for a
// function without effects, and drops its call. What links snug::snug is compiled so that it does not: tests/host/CMakeLists.txt
// builds this at each level.
#include <bit>
#include <catch2/catch.hpp>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <new>

namespace {

struct sixteen_bits {
    std::uint16_t bits;
};

long const offsets[4] = {0, 1024, 4096, 8192};
long const counts[4] = {100, 100, 100, 100};

struct program {
    std::byte* memory;

    [[gnu::noinline]] void widen(int part) {
        auto* const from = reinterpret_cast<sixteen_bits*>(memory + offsets[part]);
        auto* const to = reinterpret_cast<float*>(memory + offsets[part + 2]);
        auto const count = static_cast<std::size_t>(counts[part]);
        for (std::size_t i = 0; i < count; ++i)
            to[i] = std::bit_cast<float>(std::uint32_t{from[i].bits} << 16);
    }
    [[gnu::noinline]] void narrow(int part) {
        auto* const from = reinterpret_cast<float*>(memory + offsets[part + 2]);
        auto* const to = reinterpret_cast<sixteen_bits*>(memory + offsets[part]);
        auto const count = static_cast<std::size_t>(counts[part]);
        for (std::size_t i = 0; i < count; ++i)
            to[i].bits = static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(from[i]) >> 16);
    }
};

}  // namespace

TEST_CASE("a loop between two strides of one block of memory is not dropped") {
    std::unique_ptr<std::byte, void (*)(void*)> const block(
        static_cast<std::byte*>(std::aligned_alloc(64, 16384)), std::free);
    auto* const halves = new (block.get()) sixteen_bits[100];
    auto* const floats = new (block.get() + 4096) float[100];
    for (int i = 0; i < 100; ++i) halves[i].bits = 0x3f00, floats[i] = 0;
    program run{block.get()};
    run.widen(0);
    CHECK(floats[50] == 0.5f);
    for (int i = 0; i < 100; ++i) floats[i] = 2;
    run.narrow(0);
    CHECK(halves[50].bits == 0x4000);
}
