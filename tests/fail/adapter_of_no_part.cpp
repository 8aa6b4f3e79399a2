// SPDX-License-Identifier: Apache-2.0
// expected-error: says yes to a layer of which its targets<...> select no part
// expected-error: an_adapter_selects_no_part_of_a_layer_that_it_adapts
#include <snug/plan.hpp>

namespace user {

struct mine : snug::adapters::lora<snug::rank<2>, snug::targets<"q_proj">> {
    template <snug::text Path, class>
#ifdef REFUSED
    static constexpr bool adapts = Path.view() == "blocks.gate_up";
#else
    static constexpr bool adapts = Path.view() == "blocks.qkv";
#endif
};

}  // namespace user

struct my_trainer : snug::trainer<snug::models::smollm2_135m, snug::batch<1, 64>, user::mine> {};
static_assert(snug::footprint<my_trainer>.total > snug::bytes{});
