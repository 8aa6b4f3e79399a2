// SPDX-License-Identifier: Apache-2.0
// expected-error: a policy of the axis adapters needs 'adapts<Path, Linear>'
// expected-error: this_is_not_an_adapter<user::mine>
#include <snug/plan.hpp>

namespace user {

/// An adapter kind from outside: it freezes all but the linear layers of the path "blocks.down".
struct mine {
    using axis = snug::axis::adapters;
    template <snug::text Path, class Linear>
    static constexpr bool adapts = Path.view() == "blocks.down";
    template <snug::text, class>
    static constexpr bool trains = false;
#ifndef REFUSED
    template <class Linear, class>
    using layer = Linear;
#endif
};

}  // namespace user

struct my_trainer : snug::trainer<snug::models::smollm2_135m, snug::batch<1, 64>, user::mine> {};
static_assert(snug::footprint<my_trainer>.total > snug::bytes{});
