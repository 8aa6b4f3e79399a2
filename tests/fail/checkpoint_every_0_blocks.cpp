// SPDX-License-Identifier: Apache-2.0
// expected-error: K is at least 1
// expected-error: at_least_1<0>
#include <snug/plan.hpp>

#ifdef REFUSED
struct my_trainer
    : snug::trainer<snug::models::gpt2_124m, snug::batch<1, 64>, snug::checkpointing::every<0>> {};
#else
struct my_trainer
    : snug::trainer<snug::models::gpt2_124m, snug::batch<1, 64>, snug::checkpointing::every<1>> {};
#endif
static_assert(snug::footprint<my_trainer>.total > snug::bytes{});
