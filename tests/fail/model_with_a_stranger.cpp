// SPDX-License-Identifier: Apache-2.0
// expected-error: something that is not one of its named numbers
// expected-error: this_is_not_a_number_of_the_model<
#include <snug/plan.hpp>

#ifdef REFUSED
struct my_model : snug::models::gpt2<snug::layers<2>, snug::heads<2>, snug::width<8>, snug::vocabulary<16>,
                                     snug::context<8>, snug::batch<1, 8>> {};
#else
struct my_model : snug::models::gpt2<snug::layers<2>, snug::heads<2>, snug::width<8>, snug::vocabulary<16>,
                                     snug::context<8>, snug::mlp<16>> {};
#endif
static_assert(snug::parameter_count<my_model> > 0);
