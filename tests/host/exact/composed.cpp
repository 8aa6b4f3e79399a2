// SPDX-License-Identifier: Apache-2.0
// The plan is what runs: compositions in which any two policies meet.
#include "promises.hpp"

namespace {

auto const all = test::trainers_of<test::composed_in_pairs::type>();

}  // namespace

TEST_CASE("composed: construction allocates the plan, in one piece and what is paged, and a step nothing") {
    REQUIRE(all.size() >= 15);
    for (auto const& s : all) test::check_allocations(s);
}

TEST_CASE("composed: the allocation is the footprint, and a step reads only what it has written") {
    for (auto const& s : all) test::check_memory(s);
}
