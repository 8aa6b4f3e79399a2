// SPDX-License-Identifier: Apache-2.0
// expected-error: a mesh is sharding::mesh<data_parallel<ranks<R>>
#include <snug/plan.hpp>

namespace sharding = snug::sharding;

#ifdef REFUSED
using sharded = sharding::mesh<sharding::zero<3, snug::ranks<4>>>;
#else
using sharded = sharding::mesh<sharding::data_parallel<snug::ranks<2>>, sharding::zero<3, snug::ranks<4>>>;
#endif

struct my_trainer : snug::trainer<snug::models::gpt2_124m, snug::batch<1, 64>, sharded> {};
static_assert(snug::footprint<my_trainer>.total > snug::bytes{});
