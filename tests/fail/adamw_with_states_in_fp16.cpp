// SPDX-License-Identifier: Apache-2.0
// expected-error: adamw keeps squares of gradients
// expected-error: adamw_keeps_squares_of_gradients
#include <snug/plan.hpp>

#ifdef REFUSED
using state = snug::fp16;
#else
using state = snug::bf16;
#endif

struct my_trainer : snug::trainer<snug::models::gpt2_124m, snug::batch<1, 64>,
                                  snug::optimizers::adamw<snug::optimizers::states<state>>> {};
static_assert(snug::footprint<my_trainer>.total > snug::bytes{});
