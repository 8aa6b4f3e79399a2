// SPDX-License-Identifier: Apache-2.0
// expected-error: precision::pure<T> keeps weights in T alone, rounded stochastically
// expected-error: pure_precision_stores_bf16<float>
#include <snug/plan.hpp>

#ifdef REFUSED
struct my_trainer
    : snug::trainer<snug::models::gpt2_124m, snug::batch<1, 64>, snug::precision::pure<snug::fp32>> {};
#else
struct my_trainer
    : snug::trainer<snug::models::gpt2_124m, snug::batch<1, 64>, snug::precision::pure<snug::bf16>> {};
#endif
static_assert(snug::footprint<my_trainer>.total > snug::bytes{});
