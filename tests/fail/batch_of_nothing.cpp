// SPDX-License-Identifier: Apache-2.0
// expected-error: as constants of at least 1
// expected-error: this_is_not_a_batch<snug::batch<0, 64> ?>
#include <snug/plan.hpp>

#ifdef REFUSED
struct my_trainer : snug::trainer<snug::models::gpt2_124m, snug::batch<0, 64>> {};
#else
struct my_trainer : snug::trainer<snug::models::gpt2_124m, snug::batch<1, 64>> {};
#endif
static_assert(snug::footprint<my_trainer>.total > snug::bytes{});
