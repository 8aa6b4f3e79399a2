// SPDX-License-Identifier: Apache-2.0
// expected-error: a model family needs one more of its named numbers
// expected-error: is_missing<.*snug::width
#include <snug/plan.hpp>

#ifdef REFUSED
struct my_model
    : snug::models::gpt2<snug::layers<2>, snug::heads<2>, snug::vocabulary<16>, snug::context<8>> {};
#else
struct my_model : snug::models::gpt2<snug::layers<2>, snug::heads<2>, snug::width<8>, snug::vocabulary<16>,
                                     snug::context<8>> {};
#endif
static_assert(snug::parameter_count<my_model> > 0);
