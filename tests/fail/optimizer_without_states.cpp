// SPDX-License-Identifier: Apache-2.0
// expected-error: a policy of the axis optimizer needs 'using states'
// expected-error: this_is_not_an_optimizer<user::mine>
#include <snug/plan.hpp>

namespace user {

#ifdef REFUSED
struct mine {
    using axis = snug::axis::optimizer;
    struct options {
        double strength = 1;
    };
    static auto rule(options const& o, snug::update_numbers const& n) {
        return [=](auto weight, auto gradient) {
            using S = decltype(weight);
            return weight - static_cast<S>(o.strength * n.learning_rate) * gradient;
        };
    }
};
#else
struct mine {
    using axis = snug::axis::optimizer;
    using states = snug::meta::list<>;
    struct options {
        double strength = 1;
    };
    static auto rule(options const& o, snug::update_numbers const& n) {
        return [=](auto weight, auto gradient) {
            using S = decltype(weight);
            return weight - static_cast<S>(o.strength * n.learning_rate) * gradient;
        };
    }
};
#endif

}  // namespace user

struct my_trainer : snug::trainer<snug::models::gpt2_124m, snug::batch<1, 64>, user::mine> {};
static_assert(snug::footprint<my_trainer>.total > snug::bytes{});
