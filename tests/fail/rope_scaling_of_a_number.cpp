// SPDX-License-Identifier: Apache-2.0
// expected-error: rotary frequencies are scaled by snug::rope::llama3<factor>
// expected-error: layers<8>
#include <snug/plan.hpp>

#ifdef REFUSED
using scaling = snug::layers<8>;
#else
using scaling = snug::rope::llama3<8>;
#endif
struct my_model : snug::models::llama<snug::layers<2>, snug::heads<2>, snug::width<16>, snug::mlp<32>,
                                      snug::vocabulary<16>, snug::context<8>, snug::rope_scaling<scaling>> {};
static_assert(snug::parameter_count<my_model> > 0);
