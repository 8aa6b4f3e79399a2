// SPDX-License-Identifier: Apache-2.0
// The plan is what runs, where blocks differ in turn and by range.
#include "families.hpp"

namespace {

using model = snug::models::gemma3<snug::layers<5>, snug::heads<3>, snug::kv_heads<1>, snug::head_width<6>,
                                   snug::width<18>, snug::mlp<25>, snug::vocabulary<29>, snug::context<16>,
                                   snug::sliding_window<4>, snug::full_attention_interval<2>>;

}  // namespace

TEST_CASE("gemma3: the promises of memory are kept") { test::check_promises(test::trainers_over<model>()); }
