// SPDX-License-Identifier: Apache-2.0
// expected-error: an axis was given two policies
// expected-error: two_policies_for_one_axis<snug::axis::batch
#include <snug/plan.hpp>

#ifdef REFUSED
struct my_trainer : snug::trainer<snug::models::gpt2_124m, snug::batch<1, 64>, snug::batch<2, 64>> {};
#else
struct my_trainer : snug::trainer<snug::models::gpt2_124m, snug::batch<1, 64>> {};
#endif
static_assert(snug::footprint<my_trainer>.total > snug::bytes{});
