// SPDX-License-Identifier: Apache-2.0
// expected-error: a sharding takes snug::ranks<N>
#include <snug/plan.hpp>

#ifdef REFUSED
using sharded = snug::sharding::data_parallel<snug::heads<4>>;
#else
using sharded = snug::sharding::data_parallel<snug::ranks<4>>;
#endif

struct my_trainer : snug::trainer<snug::models::gpt2_124m, snug::batch<1, 64>, sharded> {};
static_assert(snug::footprint<my_trainer>.total > snug::bytes{});
