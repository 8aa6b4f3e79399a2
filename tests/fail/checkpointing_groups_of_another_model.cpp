// SPDX-License-Identifier: Apache-2.0
// expected-error: the groups of checkpointing::plan have together another number of blocks than the model repeats
// expected-error: the_groups_of_a_checkpointing_plan_are_not_the_blocks_of_the_model
#include <snug/plan.hpp>

namespace kept = snug::checkpointing;

#ifdef REFUSED
using plan = kept::plan<kept::group<5, kept::every_block>, kept::group<6, kept::none>>;
#else
using plan = kept::plan<kept::group<5, kept::every_block>, kept::group<7, kept::none>>;
#endif

struct my_trainer : snug::trainer<snug::models::gpt2_124m, snug::batch<1, 64>, plan> {};
static_assert(snug::footprint<my_trainer>.total > snug::bytes{});
