// SPDX-License-Identifier: Apache-2.0
#include "../kernels/contexts.hpp"

TEST_CASE("nor do they where the device is behind") {
    emulation::device().deferred = true;
    two_threads_do_not_meet();
    emulation::device().deferred = false;
}

TEST_CASE("a context owns what it is made of, and moves") {
    auto const streams = emulation::device().streams.size();
    {
        auto first = ops::prepare<device>(memory_bill{});
        auto const second = ops::prepare<device>(memory_bill{});
        CHECK(first.on().state != second.on().state);
        CHECK(emulation::device().streams.size() == streams + 2);
        ops::pages_are_away(first.on());  // a stream for each direction
        CHECK(emulation::device().streams.size() == streams + 4);
        auto const* const state = first.on().state;
        auto const moved = std::move(first);
        CHECK(moved.on().state == state);
        CHECK(first.on().state == nullptr);
        CHECK_THROWS_WITH(ops::copy_in(first.on(), nullptr, nullptr, 0),
                          Catch::Contains("made by default") && Catch::Contains("ops::prepare"));
    }
    CHECK(emulation::device().streams.size() == streams);
}

TEST_CASE("what does not fit is refused, and its context with it") {
    auto const streams = emulation::device().streams.size();
    memory_bill bill;
    bill.total = bytes{std::int64_t{1} << 40};
    CHECK_THROWS_WITH(ops::prepare<device>(bill), Catch::Contains("one allocation of"));
    CHECK(emulation::device().streams.size() == streams);
}
