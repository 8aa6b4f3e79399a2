// SPDX-License-Identifier: Apache-2.0
// expected-error: one of an adapter's 'paths' leads to no layer of the model
// expected-error: an_adapter_names_a_path_that_the_model_does_not_have
#include <snug/plan.hpp>

namespace user {

struct mine : snug::adapters::lora<snug::rank<2>> {
#ifdef REFUSED
    using paths = snug::layer_paths<"norm", "down">;
#else
    using paths = snug::layer_paths<"norm", "blocks.down">;
#endif
    template <snug::text Path, class>
    static constexpr bool trains = paths::contain(Path.view());
};

}  // namespace user

struct my_trainer : snug::trainer<snug::models::smollm2_135m, snug::batch<1, 64>, user::mine> {};
static_assert(snug::footprint<my_trainer>.total > snug::bytes{});
