// SPDX-License-Identifier: Apache-2.0
#include "../trainer/device_memory.hpp"

#include <thread>
#include <vector>

namespace {

using tiny = placed<gpt2, batch<2, 32>>;

}  // namespace

TEST_CASE("without a device, or with one that is too old, a trainer says so") {
    auto& device = emulation::device();
    auto const count = device.count;
    device.count = 0;
    CHECK_THROWS_WITH(tiny(), Catch::Contains("no CUDA device"));
    device.count = count;
    auto const properties = device.properties;
    device.properties.major = 7;
    device.properties.minor = 5;
    CHECK_THROWS_WITH(tiny(), Catch::Contains("too old") && Catch::Contains("7.5") && Catch::Contains("8.0"));
    device.properties = properties;
}

TEST_CASE("nothing depends on when the device gets to its work") {
    tiny at_once;
    auto const expected = history(at_once);
    emulation::device().deferred = true;
    {
        tiny later;
        CHECK(history(later) == expected);
    }
    emulation::device().deferred = false;
    // Pages of states, and inputs and values of blocks that wait in the host's memory.
    using checkpointing::keep;
    using paged = placed<deep, batch<2, 32>, optimizers::paged<optimizers::adamw<>>,
                         checkpointing::offloaded<keep<"qkv.output", "attention.output">, "qkv.output">>;
    static_assert(paged::composition::offloads);
    paged paged_at_once;
    auto const expected_of_pages = history(paged_at_once);
    emulation::device().deferred = true;
    {
        paged later;
        CHECK(history(later) == expected_of_pages);
    }
    // What comes must not come before the memory that it shares with others is free, nor leave before it is whole.
    emulation::device().copies_early = true;
    {
        paged early;
        CHECK(history(early) == expected_of_pages);
    }
    emulation::device().copies_early = emulation::device().deferred = false;
}

TEST_CASE("two trainers step at the same time in two threads, as if each were alone") {
    using paged = placed<llama, batch<2, 32>, optimizers::paged<optimizers::adamw<>>>;
    std::vector<unsigned char> expected, expected_of_pages;
    {
        tiny alone;
        expected = history(alone);
        paged pages_alone;
        expected_of_pages = history(pages_alone);
    }
    std::vector<unsigned char> found, found_of_pages;
    std::thread first([&] {
        tiny run;
        found = history(run);
    });
    std::thread second([&] {
        paged run;
        found_of_pages = history(run);
    });
    first.join();
    second.join();
    CHECK(found == expected);
    CHECK(found_of_pages == expected_of_pages);
}

TEST_CASE("a step waits for the device once, and copies only what it was given and what it found") {
    tiny run;
    for (std::uint64_t step = 0; step < 3; ++step) run.step(training_text<tiny>(step).batch());
    auto const before = emulation::counted();
    run.step(training_text<tiny>(4).batch());
    auto const after = emulation::counted();
    CHECK(after.device_allocations == before.device_allocations);
    CHECK(after.pinned_allocations == before.pinned_allocations);
}
