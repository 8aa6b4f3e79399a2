// SPDX-License-Identifier: Apache-2.0
// The plan is what runs, for layers that only Qwen3 has.
#include "families.hpp"

namespace {

// Odd sizes on purpose: rows of heads end in the middle of a cache line.
using model = snug::models::qwen3<snug::layers<3>, snug::heads<3>, snug::kv_heads<1>, snug::head_width<10>,
                                  snug::width<18>, snug::mlp<25>, snug::vocabulary<29>, snug::context<16>>;
using tied = snug::models::qwen3<snug::layers<3>, snug::heads<4>, snug::kv_heads<2>, snug::head_width<6>,
                                 snug::width<36>, snug::mlp<27>, snug::vocabulary<37>, snug::context<16>,
                                 snug::tied_head<1>>;
template <class... Policies>
using run = snug::trainer<snug::batch<2, 11>, Policies...>;

auto const all = test::trainers_of<
    test::mp::mp_list<run<model>,
                      run<tied, snug::precision::mixed<snug::bf16>, snug::checkpointing::selective,
                          snug::accumulation::micro_batches<3>>,
                      run<model, snug::adapters::lora<snug::rank<3>, snug::also_train<snug::norms>>,
                          snug::quantization::nf4<32>, snug::checkpointing::every_block>>>();

}  // namespace

TEST_CASE("qwen3: the promises of memory are kept") { test::check_promises(all); }
