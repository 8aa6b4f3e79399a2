// SPDX-License-Identifier: Apache-2.0
// expected-error: a named number of a model family was given twice
// expected-error: is_given_twice<.*snug::width
#include <snug/plan.hpp>

#ifdef REFUSED
struct my_model : snug::models::gpt2<snug::layers<2>, snug::heads<2>, snug::width<8>, snug::vocabulary<16>,
                                     snug::context<8>, snug::width<16>> {};
#else
struct my_model : snug::models::gpt2<snug::layers<2>, snug::heads<2>, snug::width<8>, snug::vocabulary<16>,
                                     snug::context<8>> {};
#endif
static_assert(snug::parameter_count<my_model> > 0);
