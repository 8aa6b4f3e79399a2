// SPDX-License-Identifier: Apache-2.0
// expected-error: a policy of the axis precision needs 'using gradient'
// expected-error: this_is_not_a_precision<user::mine>
#include <snug/plan.hpp>

namespace user {

#ifdef REFUSED
struct mine {
    using axis = snug::axis::precision;
    using weight = snug::fp32;
    using activation = snug::fp32;
    using statistic = snug::fp32;
    using master = void;
};
#else
struct mine {
    using axis = snug::axis::precision;
    using weight = snug::fp32;
    using activation = snug::fp32;
    using gradient = snug::fp32;
    using statistic = snug::fp32;
    using master = void;
};
#endif

}  // namespace user

struct my_trainer : snug::trainer<snug::models::gpt2_124m, snug::batch<1, 64>, user::mine> {};
static_assert(snug::footprint<my_trainer>.total > snug::bytes{});
