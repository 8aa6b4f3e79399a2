// SPDX-License-Identifier: Apache-2.0
// expected-error: checkpointing::plan takes checkpointing::group<N, policy>
// expected-error: this_is_not_a_group_of_a_checkpointing_plan
#include <snug/plan.hpp>

namespace kept = snug::checkpointing;

#ifdef REFUSED
using plan = kept::plan<kept::group<5, kept::every_block>, kept::none>;
#else
using plan = kept::plan<kept::group<5, kept::every_block>, kept::group<7, kept::none>>;
#endif

struct my_trainer : snug::trainer<snug::models::gpt2_124m, snug::batch<1, 64>, plan> {};
static_assert(snug::footprint<my_trainer>.total > snug::bytes{});
