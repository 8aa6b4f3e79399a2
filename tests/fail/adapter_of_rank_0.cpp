// SPDX-License-Identifier: Apache-2.0
// expected-error: rank and alpha of an adapter are positive
// expected-error: rank_and_alpha_are_positive<0, 32>
#include <snug/plan.hpp>

#ifdef REFUSED
using adapter = snug::adapters::dora<snug::rank<0>, snug::alpha<32>>;
#else
using adapter = snug::adapters::dora<snug::rank<1>, snug::alpha<32>>;
#endif

struct my_trainer : snug::trainer<snug::models::llama2_7b, snug::batch<1, 64>, adapter> {};
static_assert(snug::footprint<my_trainer>.total > snug::bytes{});
