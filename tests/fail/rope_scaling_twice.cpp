// SPDX-License-Identifier: Apache-2.0
// expected-error: scaling of a model.s rotary frequencies was given twice
#include <snug/plan.hpp>

#ifdef REFUSED
struct my_model
    : snug::models::llama<snug::layers<2>, snug::heads<2>, snug::width<16>, snug::mlp<32>,
                          snug::vocabulary<16>, snug::context<8>, snug::rope_scaling<snug::rope::linear<2>>,
                          snug::rope_scaling<snug::rope::llama3<8>>> {};
#else
struct my_model
    : snug::models::llama<snug::layers<2>, snug::heads<2>, snug::width<16>, snug::mlp<32>,
                          snug::vocabulary<16>, snug::context<8>, snug::rope_scaling<snug::rope::llama3<8>>> {
};
#endif
static_assert(snug::parameter_count<my_model> > 0);
