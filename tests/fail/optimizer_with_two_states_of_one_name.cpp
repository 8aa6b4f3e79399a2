// SPDX-License-Identifier: Apache-2.0
// expected-error: two states of an optimizer have the same name
#include <snug/plan.hpp>

namespace user {

struct mine {
    using axis = snug::axis::optimizer;
#ifdef REFUSED
    using states = snug::meta::list<snug::optimizer_state<"one", float>, snug::optimizer_state<"one", float>>;
#else
    using states = snug::meta::list<snug::optimizer_state<"one", float>, snug::optimizer_state<"two", float>>;
#endif
    struct options {};
    struct update {
        template <class S>
        constexpr S operator()(S weight, S gradient, float& one, float& two) const {
            return weight - gradient * static_cast<S>(one + two);
        }
    };
    static update rule(options const&, snug::update_numbers const&) { return {}; }
};

}  // namespace user

struct my_trainer : snug::trainer<snug::models::gpt2_124m, snug::batch<1, 64>, user::mine> {};
static_assert(snug::footprint<my_trainer>.total > snug::bytes{});
