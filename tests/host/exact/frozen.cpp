// SPDX-License-Identifier: Apache-2.0
// The plan is what runs: weights frozen in every quantization scheme.
#include "promises.hpp"

namespace {

auto const all = test::trainers_of<test::frozen_in_turns::type>();

}  // namespace

TEST_CASE("frozen: construction allocates the plan, in one piece and what is paged, and a step nothing") {
    REQUIRE(all.size() >= 20);
    for (auto const& s : all) test::check_allocations(s);
}

TEST_CASE("frozen: the allocation is the footprint, and a step reads only what it has written") {
    for (auto const& s : all) test::check_memory(s);
}
