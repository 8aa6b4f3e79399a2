// SPDX-License-Identifier: Apache-2.0
// The plan is what runs: adapters, quantization, optimizer states and checkpointing, any two together.
#include "promises.hpp"

namespace {

auto const all = test::trainers_of<test::adapted_in_pairs::type>();

}  // namespace

TEST_CASE("adapted: construction allocates the plan, in one piece and what is paged, and a step nothing") {
    REQUIRE(all.size() >= 9);
    for (auto const& s : all) test::check_allocations(s);
}

TEST_CASE("adapted: the allocation is the footprint, and a step reads only what it has written") {
    for (auto const& s : all) test::check_memory(s);
}
