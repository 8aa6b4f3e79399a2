// SPDX-License-Identifier: Apache-2.0
#include <bit>
#include <catch2/catch.hpp>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <new>

// What a compiler has to get right for a trainer, whose memory is one block: objects of two sizes at two offsets from one
// pointer. CMakeLists.txt compiles this at every level of optimisation, with the options that snug::snug gives its users.
namespace {

struct half {
    std::uint16_t bits;
};

struct memory {
    std::byte* base;
    void follow(int p);
};

long const offsets[4] = {0, 1024, 4096, 8192};
long const counts[4] = {100, 100, 100, 100};

[[gnu::noinline]] void memory::follow(int p) {
    auto* const from = reinterpret_cast<half*>(base + offsets[p]);
    auto* const to = reinterpret_cast<float*>(base + offsets[p + 2]);
    auto const n = static_cast<std::size_t>(counts[p]);
    for (std::size_t i = 0; i < n; ++i) to[i] = std::bit_cast<float>(std::uint32_t{from[i].bits} << 16);
}

}  // namespace

TEST_CASE("a copy between two element sizes within one block is not dropped") {
    std::unique_ptr<std::byte, decltype(&std::free)> const block{
        static_cast<std::byte*>(std::aligned_alloc(64, 16384)), &std::free};
    memory here{block.get()};
    auto* const halves = new (here.base) half[100];
    auto* const floats = new (here.base + 4096) float[100];
    for (int i = 0; i < 100; ++i) {
        halves[i].bits = 0x3f00;
        floats[i] = 0;
    }
    here.follow(0);
    bool all = true;
    for (int i = 0; i < 100; ++i) all = all && floats[i] == 0.5f;
    CHECK(all);
}
