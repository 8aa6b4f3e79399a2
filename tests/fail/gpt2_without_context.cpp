// SPDX-License-Identifier: Apache-2.0
// expected-error: needs one more of its named numbers
// expected-error: context
#include <snug/plan.hpp>

#ifdef REFUSED
using my_model = snug::models::gpt2<snug::layers<2>, snug::heads<2>, snug::width<16>, snug::vocabulary<64>>;
#else
using my_model = snug::models::gpt2<snug::layers<2>, snug::heads<2>, snug::width<16>, snug::vocabulary<64>,
                                    snug::context<64>>;
#endif

// What a trainer would say of such a model does not follow the refusal.
struct my_trainer : snug::trainer<my_model, snug::batch<1, 64>> {};
static_assert(snug::footprint<my_trainer>.total > snug::bytes{});
