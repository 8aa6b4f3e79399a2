// SPDX-License-Identifier: Apache-2.0
// expected-error: snug::trains takes snug::block_range
// expected-error: this_is_not_a_part_of_a_model_that_can_train
#include <snug/plan.hpp>

#ifdef REFUSED
using part = snug::trains<snug::last_blocks<2>, snug::rank<2>>;
#else
using part = snug::trains<snug::last_blocks<2>, snug::norms>;
#endif

struct my_trainer : snug::trainer<snug::models::gpt2_124m, snug::batch<1, 64>, part> {};
static_assert(snug::footprint<my_trainer>.total > snug::bytes{});
