// SPDX-License-Identifier: Apache-2.0
// expected-error: a policy of the axis accumulation needs 'count'
// expected-error: this_is_not_an_accumulation<user::mine>
#include <snug/plan.hpp>

namespace user {

#ifdef REFUSED
struct mine {
    using axis = snug::axis::accumulation;
};
#else
struct mine {
    using axis = snug::axis::accumulation;
    static constexpr snug::index_t count = 2;
};
#endif

}  // namespace user

struct my_trainer : snug::trainer<snug::models::gpt2_124m, snug::batch<1, 64>, user::mine> {};
static_assert(snug::footprint<my_trainer>.total > snug::bytes{});
