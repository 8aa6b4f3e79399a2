// SPDX-License-Identifier: Apache-2.0
// expected-error: an adapter needs its rank
// expected-error: an_adapter_needs_its_rank<0>
#include <snug/plan.hpp>

#ifdef REFUSED
using adapter = snug::adapters::lora<snug::alpha<32>>;
#else
using adapter = snug::adapters::lora<snug::alpha<32>, snug::rank<16>>;
#endif

struct my_trainer : snug::trainer<snug::models::llama2_7b, snug::batch<1, 64>, adapter> {};
static_assert(snug::footprint<my_trainer>.total > snug::bytes{});
