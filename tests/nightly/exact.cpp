// SPDX-License-Identifier: Apache-2.0
// The plan is what runs, for every composition that tests/host/exact checks the plans of: SNUG_TESTED is a list of them.
#include "../host/exact/promises.hpp"

namespace {

auto const all = test::trainers_of<test::SNUG_TESTED::type>();

}  // namespace

TEST_CASE("construction allocates the plan, in one piece and what is paged, and a step nothing") {
    REQUIRE(all.size() >= 10);
    for (auto const& s : all) test::check_allocations(s);
}

TEST_CASE("the allocation is the footprint, and a step reads only what it has written") {
    for (auto const& s : all) test::check_memory(s);
}
