// SPDX-License-Identifier: Apache-2.0
// expected-error: under this adapter no parameter of the model trains
// expected-error: an_adapter_trains_nothing<user::mine
#include <snug/plan.hpp>

namespace user {

/// Keeps the final norm training: its name is "norm".
struct mine {
    using axis = snug::axis::adapters;
    template <snug::text, class>
    static constexpr bool adapts = false;
    template <snug::text Path, class>
#ifdef REFUSED
    static constexpr bool trains = Path.view() == "blocks.norm";
#else
    static constexpr bool trains = Path.view() == "norm";
#endif
    template <class Linear, class>
    using layer = Linear;
};

}  // namespace user

struct my_trainer : snug::trainer<snug::models::smollm2_135m, snug::batch<1, 64>, user::mine> {};
static_assert(snug::footprint<my_trainer>.total > snug::bytes{});
