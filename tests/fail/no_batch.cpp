// SPDX-License-Identifier: Apache-2.0
// expected-error: a required axis has no policy
// expected-error: a_required_axis_is_missing<snug::axis::batch
#include <snug/plan.hpp>

#ifdef REFUSED
struct my_trainer : snug::trainer<snug::models::gpt2_124m> {};
#else
struct my_trainer : snug::trainer<snug::models::gpt2_124m, snug::batch<1, 64>> {};
#endif
static_assert(snug::footprint<my_trainer>.total > snug::bytes{});
