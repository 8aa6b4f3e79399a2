// SPDX-License-Identifier: Apache-2.0
// expected-error: a policy of the axis batch needs 'sequences'
// expected-error: this_is_not_a_batch<user::mine>
#include <snug/plan.hpp>

namespace user {

#ifdef REFUSED
struct mine {
    using axis = snug::axis::batch;
    static constexpr snug::index_t sequences = 2;
};
#else
struct mine {
    using axis = snug::axis::batch;
    static constexpr snug::index_t sequences = 2;
    static constexpr snug::index_t tokens = 64;
};
#endif

}  // namespace user

struct my_trainer : snug::trainer<snug::models::gpt2_124m, user::mine> {};
static_assert(snug::footprint<my_trainer>.total > snug::bytes{});
