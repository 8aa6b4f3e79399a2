// SPDX-License-Identifier: Apache-2.0
// The plan is what runs: compositions in which any two policies meet.
#include "promises.hpp"

namespace {

/// Any two policies of two axes meet.
using rows = test::covering_of<test::precisions, test::models, test::accumulations, test::checkpointings,
                               test::optimizers, test::batches>::type;
using in_pairs =
    test::mp::mp_transform<test::composed_in_order, rows, test::mp::mp_iota<test::mp::mp_size<rows>>>;

auto const all = test::trainers_of<in_pairs>();

}  // namespace

TEST_CASE("composed: construction allocates the plan, in one piece and what is paged, and a step nothing") {
    REQUIRE(all.size() >= 15);
    for (auto const& s : all) test::check_allocations(s);
}

TEST_CASE("composed: the allocation is the footprint, and a step reads only what it has written") {
    for (auto const& s : all) test::check_memory(s);
}
