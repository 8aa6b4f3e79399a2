// SPDX-License-Identifier: Apache-2.0
// expected-error: 'check' in the options of an optimizer is one public function without arguments
// expected-error: the_options_of_an_optimizer_are_checked_by_a_function_without_arguments
#include <snug/plan.hpp>

namespace user {

struct mine {
    using axis = snug::axis::optimizer;
    using states = snug::meta::list<>;
    struct options {
        double strength = 1;
#ifdef REFUSED
        void check(double) const {}
#else
        void check() const { snug::detail::require_not_negative("options.optimizer.strength", strength); }
#endif
    };
    static auto rule(options const&, snug::update_numbers const&) {
        return [](auto weight, auto) { return weight; };
    }
};

}  // namespace user

inline void check(snug::training_options<user::mine> const& options) { options.check(); }
