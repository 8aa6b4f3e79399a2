// SPDX-License-Identifier: Apache-2.0
// expected-error: embedding and head of a model must have the same vocabulary
// expected-error: 16, 17>
#include <snug/plan.hpp>

#ifdef REFUSED
using head = snug::head_with_loss<8, 17, true>;
#else
using head = snug::head_with_loss<8, 16, true>;
#endif
struct my_model : snug::stack<snug::embedding<16, 8>, snug::gelu<8>, head> {};
static_assert(snug::parameter_count<my_model> > 0);
