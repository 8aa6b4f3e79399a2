// SPDX-License-Identifier: Apache-2.0
// expected-error: a policy of the axis quantization is quantization::none or a scheme
// expected-error: this_is_not_a_quantization<user::mine>
#include <snug/plan.hpp>

namespace user {

#ifdef REFUSED
struct mine {
    using axis = snug::axis::quantization;
};
#else
using mine = snug::quantization::none;
#endif

}  // namespace user

struct my_trainer : snug::trainer<snug::models::gpt2_124m, snug::batch<1, 64>, user::mine> {};
static_assert(snug::footprint<my_trainer>.total > snug::bytes{});
