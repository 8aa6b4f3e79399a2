// SPDX-License-Identifier: Apache-2.0
// expected-error: a policy of the axis checkpointing needs 'static constexpr index_t segment
// expected-error: this_is_not_a_checkpointing<user::mine>
#include <snug/plan.hpp>

namespace user {

#ifdef REFUSED
struct mine {
    using axis = snug::axis::checkpointing;
};
#else
struct mine {
    using axis = snug::axis::checkpointing;
    static constexpr snug::index_t segment(snug::index_t blocks) { return (blocks + 1) / 2; }
};
#endif

}  // namespace user

struct my_trainer : snug::trainer<snug::models::gpt2_124m, snug::batch<1, 64>, user::mine> {};
static_assert(snug::footprint<my_trainer>.total > snug::bytes{});
