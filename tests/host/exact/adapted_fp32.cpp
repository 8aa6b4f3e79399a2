// SPDX-License-Identifier: Apache-2.0
// The plan is what runs, for adapters x quantization x optimizer states x checkpointing, in full<snug::fp32>.
#include "promises.hpp"

namespace {

auto const all = test::adapted_subjects<snug::precision::full<snug::fp32>>();

}  // namespace

TEST_CASE("adapted, fp32: every line of the bill is exact") {
    REQUIRE(all.size() >= 27 / test::stride);
    for (auto const& s : all) test::check_bill(s);
}

TEST_CASE("adapted, fp32: buffers that are needed at the same time lie apart") {
    for (auto const& s : all) test::check_layout(s);
}

TEST_CASE("adapted, fp32: construction allocates the plan and what is paged, and a step nothing") {
    for (auto const& s : all) test::check_allocations(s);
}

TEST_CASE("adapted, fp32: the allocation is the footprint, and a step reads only what it has written") {
    for (auto const& s : all) test::check_memory(s);
}
