// SPDX-License-Identifier: Apache-2.0
// The plan is what runs, with a window that is shorter than the sequences.
#include "plans.hpp"
#include "promises.hpp"

#include <snug/quantization/nf4.hpp>

namespace {

using model =
    snug::models::llama<snug::layers<3>, snug::heads<3>, snug::kv_heads<1>, snug::width<18>, snug::mlp<25>,
                        snug::vocabulary<29>, snug::context<16>, snug::sliding_window<4>>;
template <class... Policies>
using run = snug::trainer<model, snug::batch<2, 11>, Policies...>;

auto const all = test::trainers_of<
    test::mp::mp_list<run<snug::precision::mixed<snug::bf16>, snug::checkpointing::selective>,
                      run<snug::adapters::lora<snug::rank<3>>, snug::quantization::nf4<32>,
                          snug::checkpointing::every_block>>>();

}  // namespace

TEST_CASE("mistral: every line of the bill is what it stands for, and nothing overlaps what is needed") {
    for (auto const& s : all) {
        test::check_bill(s);
        test::check_layout(s);
    }
}

TEST_CASE("mistral: construction allocates the plan, and a step nothing") {
    for (auto const& s : all) test::check_allocations(s);
}

TEST_CASE("mistral: the allocation is the footprint, and a step reads only what it has written") {
    for (auto const& s : all) test::check_memory(s);
}
