// SPDX-License-Identifier: Apache-2.0
// expected-error: the policy of the axis model is not a list of layers
// expected-error: this_is_not_a_model<user::mine>
#include <snug/plan.hpp>

namespace user {

#ifdef REFUSED
struct mine {
    using axis = snug::axis::model;
    static constexpr snug::index_t vocabulary = 256;
};
#else
struct mine : snug::stack<snug::embedding<256, 8>, snug::head_with_loss<8, 256, false>> {};
#endif

}  // namespace user

struct my_trainer : snug::trainer<user::mine, snug::batch<1, 64>> {};
static_assert(snug::footprint<my_trainer>.total > snug::bytes{});
