// SPDX-License-Identifier: Apache-2.0
// expected-error: an option of an adapter is rank<N>
// expected-error: this_is_not_an_option_of_an_adapter<snug::layers<8> ?>
#include <snug/plan.hpp>

#ifdef REFUSED
using adapter = snug::adapters::lora<snug::rank<16>, snug::layers<8>>;
#else
using adapter = snug::adapters::lora<snug::rank<16>, snug::alpha<8>>;
#endif

struct my_trainer : snug::trainer<snug::models::llama2_7b, snug::batch<1, 64>, adapter> {};
static_assert(snug::footprint<my_trainer>.total > snug::bytes{});
