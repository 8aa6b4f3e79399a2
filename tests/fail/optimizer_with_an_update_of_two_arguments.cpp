// SPDX-License-Identifier: Apache-2.0
// expected-error: called as update.weight, gradient, states&
// nvcc
#include <snug/plan.hpp>

namespace user {

struct momentum {
    using axis = snug::axis::optimizer;
    using states = snug::meta::list<snug::optimizer_state<"momentum", float>>;
    struct options {};
    struct update {
        template <class S>
#ifdef REFUSED
        constexpr S operator()(S weight, S gradient) const {
#else
        constexpr S operator()(S weight, S gradient, float&) const {
#endif
            return weight - gradient;
    }
};
static update rule(options const&, snug::update_numbers const&) { return {}; }
};  // namespace user

}  // namespace user

struct my_trainer : snug::trainer<snug::models::gpt2_124m, snug::batch<1, 64>, user::momentum> {};
static_assert(snug::footprint<my_trainer>.total > snug::bytes{});
