// SPDX-License-Identifier: Apache-2.0
// expected-error: zero<2> and zero<3> keep a share of the gradients only
#include <snug/plan.hpp>

#ifdef REFUSED
using sharded = snug::sharding::zero<2, snug::ranks<4>, snug::sharding::reduced<snug::sharding::at_the_end>>;
#else
using sharded =
    snug::sharding::zero<2, snug::ranks<4>, snug::sharding::reduced<snug::sharding::each_micro_batch>>;
#endif

struct my_trainer : snug::trainer<snug::models::gpt2_124m, snug::batch<1, 64>, sharded> {};
static_assert(snug::footprint<my_trainer>.total > snug::bytes{});
