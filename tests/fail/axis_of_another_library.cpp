// SPDX-License-Identifier: Apache-2.0
// expected-error: the axis of a policy is not one of snug.s
// expected-error: this_template_argument_is_not_a_policy<user::often>
#include <snug/plan.hpp>

namespace user {

#ifdef REFUSED
struct frequency {};
struct often : snug::checkpointing::every_block {
    using axis = frequency;
};
#else
struct often : snug::checkpointing::every_block {};
#endif

}  // namespace user

struct my_trainer : snug::trainer<snug::models::gpt2_124m, snug::batch<1, 64>, user::often> {};
static_assert(snug::footprint<my_trainer>.total > snug::bytes{});
