// SPDX-License-Identifier: Apache-2.0
// expected-error: the update of an optimizer takes its states by value
// expected-error: the_update_of_an_optimizer_takes_a_weight_a_gradient_and_its_states
#include <snug/plan.hpp>

namespace user {

struct mine {
    using axis = snug::axis::optimizer;
    using states = snug::meta::list<snug::optimizer_state<"momentum", float>>;
    struct options {};
    struct update {
#ifdef REFUSED
        template <class S>
        constexpr S operator()(S weight, S gradient, float momentum) const {
            return weight - gradient * static_cast<S>(momentum);
        }
#else
        template <class S>
        constexpr S operator()(S weight, S gradient, float& momentum) const {
            return weight - gradient * static_cast<S>(momentum);
        }
#endif
    };
    static update rule(options const&, snug::update_numbers const&) { return {}; }
};

}  // namespace user

struct my_trainer : snug::trainer<snug::models::gpt2_124m, snug::batch<1, 64>, user::mine> {};
static_assert(snug::footprint<my_trainer>.total > snug::bytes{});
