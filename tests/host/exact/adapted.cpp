// SPDX-License-Identifier: Apache-2.0
// The plan is what runs: adapters, quantization, optimizer states and checkpointing, any two together.
#include "promises.hpp"

namespace {

template <class Policies>
using at = test::mp::mp_apply<test::adapted, Policies>;
using in_pairs =
    test::mp::mp_transform<at, test::covering_of<test::adapters, test::adapter_storage, test::adapter_states,
                                                 test::adapter_checkpointings, test::adapted_precisions,
                                                 test::adapted_models>::type>;
auto const all = test::trainers_of<in_pairs>();

}  // namespace

TEST_CASE("adapted: construction allocates the plan, in one piece and what is paged, and a step nothing") {
    REQUIRE(all.size() >= 9);
    for (auto const& s : all) test::check_allocations(s);
}

TEST_CASE("adapted: the allocation is the footprint, and a step reads only what it has written") {
    for (auto const& s : all) test::check_memory(s);
}
