// SPDX-License-Identifier: Apache-2.0
// expected-error: sequences are longer than the model.s context
// expected-error: gpt2_124m, 1024, 1025>
#include <snug/plan.hpp>

#ifdef REFUSED
struct my_trainer : snug::trainer<snug::models::gpt2_124m, snug::batch<1, 1025>> {};
#else
struct my_trainer : snug::trainer<snug::models::gpt2_124m, snug::batch<1, 1024>> {};
#endif
static_assert(snug::footprint<my_trainer>.total > snug::bytes{});
