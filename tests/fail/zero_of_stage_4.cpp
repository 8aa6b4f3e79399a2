// SPDX-License-Identifier: Apache-2.0
// expected-error: sharding::zero<Stage, ranks<N>> has stage 1
#include <snug/plan.hpp>

#ifdef REFUSED
using sharded = snug::sharding::zero<4, snug::ranks<4>>;
#else
using sharded = snug::sharding::zero<3, snug::ranks<4>>;
#endif

struct my_trainer : snug::trainer<snug::models::gpt2_124m, snug::batch<1, 64>, sharded> {};
static_assert(snug::footprint<my_trainer>.total > snug::bytes{});
