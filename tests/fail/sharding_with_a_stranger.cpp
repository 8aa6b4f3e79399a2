// SPDX-License-Identifier: Apache-2.0
// expected-error: beside ranks<N>, a sharding takes sharding::reduced
#include <snug/plan.hpp>

#ifdef REFUSED
using sharded = snug::sharding::data_parallel<snug::ranks<4>, snug::heads<4>>;
#else
using sharded = snug::sharding::data_parallel<snug::ranks<4>, snug::sharding::bucket<snug::bytes{1 << 20}>>;
#endif

struct my_trainer : snug::trainer<snug::models::gpt2_124m, snug::batch<1, 64>, sharded> {};
static_assert(snug::footprint<my_trainer>.total > snug::bytes{});
