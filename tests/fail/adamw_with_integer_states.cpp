// SPDX-License-Identifier: Apache-2.0
// expected-error: an optimizer.s states are floating point
// expected-error: int>
#include <snug/plan.hpp>

#ifdef REFUSED
struct my_trainer : snug::trainer<snug::models::gpt2_124m, snug::batch<1, 64>,
                                  snug::optimizers::adamw<snug::optimizers::states<int>>> {};
#else
struct my_trainer : snug::trainer<snug::models::gpt2_124m, snug::batch<1, 64>,
                                  snug::optimizers::adamw<snug::optimizers::states<snug::bf16>>> {};
#endif
static_assert(snug::footprint<my_trainer>.total > snug::bytes{});
