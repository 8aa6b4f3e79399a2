// SPDX-License-Identifier: Apache-2.0
// expected-error: the width of a model must be a multiple of its heads
// expected-error: must_be_a_multiple_of_the_heads<.*, 8, 3>
#include <snug/plan.hpp>

#ifdef REFUSED
struct my_model : snug::models::gpt2<snug::layers<2>, snug::heads<3>, snug::width<8>, snug::vocabulary<16>,
                                     snug::context<8>> {};
#else
struct my_model : snug::models::gpt2<snug::layers<2>, snug::heads<4>, snug::width<8>, snug::vocabulary<16>,
                                     snug::context<8>> {};
#endif
static_assert(snug::parameter_count<my_model> > 0);
