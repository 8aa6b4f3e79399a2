// SPDX-License-Identifier: Apache-2.0
// expected-error: a layer needs 'input_width' and 'output_width' as constants
// expected-error: this_is_not_a_layer<user::twice>
#include <snug/plan.hpp>

namespace user {

struct twice {
    static constexpr snug::index_t input_width = 8;
#ifndef REFUSED
    static constexpr snug::index_t output_width = 8;
#endif
};

}  // namespace user

struct my_model : snug::stack<snug::embedding<16, 8>, user::twice, snug::head_with_loss<8, 16, true>> {};
static_assert(snug::parameter_count<my_model> > 0);
