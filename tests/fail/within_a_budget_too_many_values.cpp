// SPDX-License-Identifier: Apache-2.0
// expected-error: tries all sets of the values that backward reads in a block, and there are more than 12
// expected-error: within_a_budget_a_block_has_at_most_12_values<.*, 13>
#include <snug/plan.hpp>

template <snug::text Name>
using fc = snug::named<Name, snug::linear<8, 8>>;
#ifdef REFUSED
using block = snug::residual<fc<"a">, fc<"b">, fc<"c">, fc<"d">, fc<"e">, fc<"f">, fc<"g">, fc<"h">, fc<"i">,
                             fc<"j">, fc<"k">, fc<"l">, fc<"m">, fc<"n">>;
#else
using block = snug::residual<fc<"a">, fc<"b">, fc<"c">>;
#endif
struct my_model : snug::stack<snug::embedding<16, 8>, snug::repeat<4, block>, snug::rms_norm<8>,
                              snug::head_with_loss<8, 16, true>> {};
using namespace snug::literals;
struct my_trainer
    : snug::trainer<my_model, snug::batch<1, 16>, snug::checkpointing::within<snug::budget<1_GiB>>> {};
static_assert(snug::footprint<my_trainer>.total > snug::bytes{});
