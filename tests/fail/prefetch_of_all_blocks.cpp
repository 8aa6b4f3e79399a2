// SPDX-License-Identifier: Apache-2.0
// expected-error: is at least 0 and less than the number of blocks
#include <snug/plan.hpp>

#ifdef REFUSED
using sharded = snug::sharding::zero<3, snug::ranks<4>, snug::sharding::prefetch<12>>;
#else
using sharded = snug::sharding::zero<3, snug::ranks<4>, snug::sharding::prefetch<11>>;
#endif

struct my_trainer : snug::trainer<snug::models::gpt2_124m, snug::batch<1, 64>, sharded> {};
static_assert(snug::footprint<my_trainer>.total > snug::bytes{});
