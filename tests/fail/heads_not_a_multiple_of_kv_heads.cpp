// SPDX-License-Identifier: Apache-2.0
// expected-error: the heads of attention must be a multiple of its kv_heads
// expected-error: of_the_kv_heads<6, 4>
#include <snug/plan.hpp>

#ifdef REFUSED
struct my_model : snug::models::llama<snug::layers<2>, snug::heads<6>, snug::kv_heads<4>, snug::width<24>,
                                      snug::mlp<32>, snug::vocabulary<16>, snug::context<8>> {};
#else
struct my_model : snug::models::llama<snug::layers<2>, snug::heads<6>, snug::kv_heads<3>, snug::width<24>,
                                      snug::mlp<32>, snug::vocabulary<16>, snug::context<8>> {};
#endif
static_assert(snug::parameter_count<my_model> > 0);
