// SPDX-License-Identifier: Apache-2.0
// expected-error: longer than the sliding window of the model.s attention
// expected-error: mistral_7b, 4096, 4097>
#include <snug/plan.hpp>

#ifdef REFUSED
struct my_trainer : snug::trainer<snug::models::mistral_7b, snug::batch<1, 4097>> {};
#else
struct my_trainer : snug::trainer<snug::models::mistral_7b, snug::batch<1, 4096>> {};
#endif
static_assert(snug::footprint<my_trainer>.total > snug::bytes{});
