// SPDX-License-Identifier: Apache-2.0
// expected-error: the micro-batches of a step, as a constant of at least 1
// expected-error: micro_batches<0> ?>
#include <snug/plan.hpp>

#ifdef REFUSED
struct my_trainer
    : snug::trainer<snug::models::gpt2_124m, snug::batch<1, 64>, snug::accumulation::micro_batches<0>> {};
#else
struct my_trainer
    : snug::trainer<snug::models::gpt2_124m, snug::batch<1, 64>, snug::accumulation::micro_batches<1>> {};
#endif
static_assert(snug::footprint<my_trainer>.total > snug::bytes{});
