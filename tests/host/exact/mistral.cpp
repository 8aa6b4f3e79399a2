// SPDX-License-Identifier: Apache-2.0
// The plan is what runs, with a window that is shorter than the sequences.
#include "families.hpp"

namespace {

using model =
    snug::models::llama<snug::layers<3>, snug::heads<3>, snug::kv_heads<1>, snug::width<18>, snug::mlp<25>,
                        snug::vocabulary<29>, snug::context<16>, snug::sliding_window<4>>;

}  // namespace

TEST_CASE("mistral: the promises of memory are kept") { test::check_promises(test::trainers_over<model>()); }
