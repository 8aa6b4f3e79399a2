// SPDX-License-Identifier: Apache-2.0
// expected-error: a named number of a model family must be positive
// expected-error: snug::layers<0>
#include <snug/plan.hpp>

#ifdef REFUSED
struct my_model : snug::models::gpt2<snug::layers<0>, snug::heads<2>, snug::width<8>, snug::vocabulary<16>,
                                     snug::context<8>> {};
#else
struct my_model : snug::models::gpt2<snug::layers<1>, snug::heads<2>, snug::width<8>, snug::vocabulary<16>,
                                     snug::context<8>> {};
#endif
static_assert(snug::parameter_count<my_model> > 0);
