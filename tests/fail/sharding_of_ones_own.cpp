// SPDX-License-Identifier: Apache-2.0
// expected-error: a policy of the axis sharding has 'ranks', 'replicas'
// expected-error: user::mine
#include <snug/plan.hpp>

namespace user {

#ifdef REFUSED
struct mine {
    using axis = snug::axis::sharding;
};
#else
using mine = snug::sharding::none;
#endif

}  // namespace user

struct my_trainer : snug::trainer<snug::models::gpt2_124m, snug::batch<1, 64>, user::mine> {};
static_assert(snug::footprint<my_trainer>.total > snug::bytes{});
