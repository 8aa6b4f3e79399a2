// SPDX-License-Identifier: Apache-2.0
// expected-error: snug::ranks<N> counts the processes of a trainer
#include <snug/plan.hpp>

#ifdef REFUSED
using sharded = snug::sharding::data_parallel<snug::ranks<0>>;
#else
using sharded = snug::sharding::data_parallel<snug::ranks<1>>;
#endif

struct my_trainer : snug::trainer<snug::models::gpt2_124m, snug::batch<1, 64>, sharded> {};
static_assert(snug::footprint<my_trainer>.total > snug::bytes{});
