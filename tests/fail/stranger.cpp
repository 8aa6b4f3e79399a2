// SPDX-License-Identifier: Apache-2.0
// expected-error: a template argument of snug::trainer is not a policy
// expected-error: this_template_argument_is_not_a_policy<int>
#include <snug/plan.hpp>

#ifdef REFUSED
struct my_trainer : snug::trainer<snug::models::gpt2_124m, snug::batch<1, 64>, int> {};
#else
struct my_trainer
    : snug::trainer<snug::models::gpt2_124m, snug::batch<1, 64>, snug::precision::full<snug::fp32>> {};
#endif
static_assert(snug::footprint<my_trainer>.total > snug::bytes{});
