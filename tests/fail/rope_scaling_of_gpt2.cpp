// SPDX-License-Identifier: Apache-2.0
// expected-error: something that is not one of its named numbers
#include <snug/plan.hpp>

#ifdef REFUSED
struct my_model : snug::models::gpt2<snug::layers<2>, snug::heads<2>, snug::width<16>, snug::vocabulary<16>,
                                     snug::context<8>, snug::rope_scaling<snug::rope::llama3<8>>> {};
#else
struct my_model : snug::models::gpt2<snug::layers<2>, snug::heads<2>, snug::width<16>, snug::vocabulary<16>,
                                     snug::context<8>> {};
#endif
static_assert(snug::parameter_count<my_model> > 0);
