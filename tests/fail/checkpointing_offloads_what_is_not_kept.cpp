// SPDX-License-Identifier: Apache-2.0
// expected-error: offloads a value that blocks keep by Inner
// expected-error: a_value_that_is_offloaded_is_kept
#include <snug/plan.hpp>

namespace kept = snug::checkpointing;

#ifdef REFUSED
using policy = kept::offloaded<kept::every_block, "attention.output">;
#else
using policy = kept::offloaded<kept::keep<"attention.output">, "attention.output">;
#endif

struct my_trainer : snug::trainer<snug::models::gpt2_124m, snug::batch<1, 64>, policy> {};
static_assert(snug::footprint<my_trainer>.paged > snug::bytes{});
