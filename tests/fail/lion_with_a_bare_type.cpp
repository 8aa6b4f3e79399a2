// SPDX-License-Identifier: Apache-2.0
// expected-error: the argument of optimizers::lion is the type of its states
// expected-error: states_of_a_type<float>
#include <snug/plan.hpp>

#ifdef REFUSED
struct my_trainer
    : snug::trainer<snug::models::gpt2_124m, snug::batch<1, 64>, snug::optimizers::lion<snug::fp32>> {};
#else
struct my_trainer : snug::trainer<snug::models::gpt2_124m, snug::batch<1, 64>,
                                  snug::optimizers::lion<snug::optimizers::states<snug::fp32>>> {};
#endif
static_assert(snug::footprint<my_trainer>.total > snug::bytes{});
