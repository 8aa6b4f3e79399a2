// SPDX-License-Identifier: Apache-2.0
// expected-error: dropout is a part from 0 to below 1
// expected-error: dropout_is_a_part_below_1
#include <snug/plan.hpp>

#ifdef REFUSED
using adapter = snug::adapters::lora<snug::rank<8>, snug::dropout<std::ratio<1>>>;
#else
using adapter = snug::adapters::lora<snug::rank<8>, snug::dropout<std::ratio<1, 10>>>;
#endif

struct my_trainer : snug::trainer<snug::models::llama2_7b, snug::batch<1, 64>, adapter> {};
static_assert(snug::footprint<my_trainer>.total > snug::bytes{});
