// SPDX-License-Identifier: Apache-2.0
// expected-error: needs one more of its named numbers
// expected-error: a_number_of_the_model_is_missing<.*, mlp, 0>|Missing=snug::mlp|a_number_of_the_model_is_missing<.*snug::mlp, 0>
#include <snug/plan.hpp>

#ifdef REFUSED
using my_model = snug::models::llama<snug::layers<2>, snug::heads<2>, snug::width<16>, snug::vocabulary<64>,
                                     snug::context<64>>;
#else
using my_model = snug::models::llama<snug::layers<2>, snug::heads<2>, snug::width<16>, snug::mlp<32>,
                                     snug::vocabulary<64>, snug::context<64>>;
#endif

// What a trainer would say of such a model does not follow the refusal.
struct my_trainer : snug::trainer<my_model, snug::batch<1, 64>> {};
static_assert(snug::footprint<my_trainer>.total > snug::bytes{});
