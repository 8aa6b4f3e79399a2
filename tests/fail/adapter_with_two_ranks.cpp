// SPDX-License-Identifier: Apache-2.0
// expected-error: an option of an adapter is given twice
// expected-error: rank_option, 2
#include <snug/plan.hpp>

#ifdef REFUSED
using adapter = snug::adapters::lora<snug::rank<16>, snug::rank<8>>;
#else
using adapter = snug::adapters::lora<snug::rank<16>>;
#endif

struct my_trainer : snug::trainer<snug::models::llama2_7b, snug::batch<1, 64>, adapter> {};
static_assert(snug::footprint<my_trainer>.total > snug::bytes{});
