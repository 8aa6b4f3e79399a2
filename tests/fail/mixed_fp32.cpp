// SPDX-License-Identifier: Apache-2.0
// expected-error: precision::mixed<T> computes in T and keeps fp32 master weights
// expected-error: mixed_precision_computes_in_bf16_or_fp16<float>
#include <snug/plan.hpp>

#ifdef REFUSED
struct my_trainer
    : snug::trainer<snug::models::gpt2_124m, snug::batch<1, 64>, snug::precision::mixed<snug::fp32>> {};
#else
struct my_trainer
    : snug::trainer<snug::models::gpt2_124m, snug::batch<1, 64>, snug::precision::mixed<snug::bf16>> {};
#endif
static_assert(snug::footprint<my_trainer>.total > snug::bytes{});
