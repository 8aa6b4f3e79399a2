// SPDX-License-Identifier: Apache-2.0
// expected-error: checkpointing::offloaded takes a policy of the axis checkpointing
// expected-error: what_is_offloaded_is_a_checkpointing
#include <snug/plan.hpp>

namespace kept = snug::checkpointing;

#ifdef REFUSED
using policy = kept::offloaded<snug::optimizers::adamw<>>;
#else
using policy = kept::offloaded<kept::selective>;
#endif

struct my_trainer : snug::trainer<snug::models::gpt2_124m, snug::batch<1, 64>, policy> {};
static_assert(snug::footprint<my_trainer>.paged > snug::bytes{});
