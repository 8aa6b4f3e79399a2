// SPDX-License-Identifier: Apache-2.0
// expected-error: a model begins with an embedding
#include <snug/plan.hpp>

#ifdef REFUSED
struct my_model : snug::stack<snug::rms_norm<8>, snug::head_with_loss<8, 16, true>> {};
#else
struct my_model : snug::stack<snug::embedding<16, 8>, snug::rms_norm<8>, snug::head_with_loss<8, 16, true>> {
};
#endif
static_assert(snug::parameter_count<my_model> > 0);
