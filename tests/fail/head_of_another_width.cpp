// SPDX-License-Identifier: Apache-2.0
// expected-error: the head of a model must be as wide as the layer before it
// expected-error: 8, 9>
#include <snug/plan.hpp>

#ifdef REFUSED
using head = snug::head_with_loss<9, 16, false>;
#else
using head = snug::head_with_loss<8, 16, false>;
#endif
struct my_model : snug::stack<snug::embedding<16, 8>, snug::gelu<8>, head> {};
static_assert(snug::parameter_count<my_model> > 0);
