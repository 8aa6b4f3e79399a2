// SPDX-License-Identifier: Apache-2.0
// expected-error: precision::full<T> stores everything in T, which is snug::fp32 or snug::fp64
// expected-error: full_precision_stores_fp32_or_fp64<int>
#include <snug/plan.hpp>

#ifdef REFUSED
struct my_trainer : snug::trainer<snug::models::gpt2_124m, snug::batch<1, 64>, snug::precision::full<int>> {};
#else
struct my_trainer
    : snug::trainer<snug::models::gpt2_124m, snug::batch<1, 64>, snug::precision::full<snug::fp64>> {};
#endif
static_assert(snug::footprint<my_trainer>.total > snug::bytes{});
