// SPDX-License-Identifier: Apache-2.0
// expected-error: and this model's head is its embedding: one parameter
// expected-error: a_tied_head_trains_when_its_embedding_does<user::mine
#include <snug/plan.hpp>

namespace user {

struct mine : snug::adapters::lora<snug::rank<2>> {
    using paths = snug::layer_paths<"embedding", "head">;
    template <snug::text Path, class>
#ifdef REFUSED
    static constexpr bool trains = Path.view() == "head";
#else
    static constexpr bool trains = paths::contain(Path.view());
#endif
};

}  // namespace user

struct my_trainer : snug::trainer<snug::models::smollm2_135m, snug::batch<1, 64>, user::mine> {};
static_assert(snug::footprint<my_trainer>.total > snug::bytes{});
