// SPDX-License-Identifier: Apache-2.0
// expected-error: snug::trains takes one range of blocks
// expected-error: the_blocks_that_train_are_one_range
#include <snug/plan.hpp>

#ifdef REFUSED
using part = snug::trains<snug::block_range<0, 1>, snug::last_blocks<1>>;
#else
using part = snug::trains<snug::last_blocks<1>>;
#endif

struct my_trainer : snug::trainer<snug::models::gpt2_124m, snug::batch<1, 64>, part> {};
static_assert(snug::footprint<my_trainer>.total > snug::bytes{});
