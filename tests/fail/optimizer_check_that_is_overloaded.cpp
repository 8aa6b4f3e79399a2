// SPDX-License-Identifier: Apache-2.0
// expected-error: 'check' in the options of an optimizer is one public function without arguments
#include <snug/plan.hpp>

namespace user {

struct mine {
    using axis = snug::axis::optimizer;
    using states = snug::meta::list<>;
    struct options {
        void check() const {}
#ifdef REFUSED
        void check(int) const {}
#endif
    };
    static auto rule(options const&, snug::update_numbers const&) {
        return [](auto weight, auto) { return weight; };
    }
};

}  // namespace user

inline void check(snug::training_options<user::mine> const& options) { options.check(); }
