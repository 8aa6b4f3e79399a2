// SPDX-License-Identifier: Apache-2.0
// expected-error: the 'states' of an optimizer are snug::meta::list
#include <snug/plan.hpp>

namespace user {

struct momentum {
    using axis = snug::axis::optimizer;
    using state = snug::optimizer_state<"momentum", float>;
#ifdef REFUSED
    using states = state;
#else
    using states = snug::meta::list<state>;
#endif
    struct options {};
    static auto rule(options const&, snug::update_numbers const&) {
        return [](auto weight, auto gradient, auto&) { return weight - gradient; };
    }
};

}  // namespace user

struct my_trainer : snug::trainer<snug::models::gpt2_124m, snug::batch<1, 64>, user::momentum> {};
static_assert(snug::footprint<my_trainer>.total > snug::bytes{});
