// SPDX-License-Identifier: Apache-2.0
// Constants of compositions, read when the program runs. Where one constant of a type is there already, g++ 12 can leave numbers
// out of the next that nothing but a default member initializer gives: they are 0 in the program, though not in a static_assert.
#include <catch2/catch.hpp>
#include <snug/plan.hpp>

namespace {

using namespace snug;

using model = models::gpt2<layers<2>, heads<2>, width<64>, vocabulary<97>, context<32>>;
using adapter = adapters::dora<rank<4>, alpha<8>, targets<all_linear>>;
template <class... Policies>
using job = trainer<model, batch<1, 12>, Policies...>;

/// Numbers of the parameters from this one on.
template <class C>
constexpr index_t sum_of_entries(int first) {
    index_t sum = 0;
    for (int p = first; p < C::parameters; ++p)
        sum = sum % 1000003 * 31 + C::entry(p).copies * 8 + C::entry(p).trains * 4 + C::entry(p).derived * 2 +
              C::entry(p).of_adapter;
    return sum % 1000003;
}

/// What is nowhere is nowhere at run time, too.
template <class C>
void check() {
    static int volatile first = 0;
    constexpr auto expected = sum_of_entries<C>(0);
    CHECK(sum_of_entries<C>(first) == expected);
    for (int p = first; p < C::parameters; ++p) {
        auto const& entry = C::entry(p);
        INFO(entry.name.view());
        CHECK((C::master(p).declaration >= 0) == (C::has_master && entry.is_trained()));
        CHECK((C::gradient(p).declaration >= 0) == entry.is_trained());
        for (int which = 0; which < C::state_count; ++which)
            CHECK((C::state(which, p).declaration >= 0) == entry.is_trained());
        if constexpr (C::is_sharded) {
            auto const group = C::groups.members[static_cast<std::size_t>(p)].group;
            CHECK((group >= 0) == !entry.is_derived());
            if (group < 0) continue;
            auto const& at = C::places.groups[static_cast<std::size_t>(group)];
            CHECK((at.gathered.declaration >= 0) == C::gathers_weights);
            CHECK((at.unit_gradient.declaration >= 0) == (C::reduces_each_micro_batch && entry.is_trained()));
        }
    }
    CHECK((C::places.quantization_source.declaration >= 0) ==
          !std::is_same_v<typename C::quantization, quantization::none>);
    CHECK((C::places.pages.declaration >= 0) == C::has_pages);
    CHECK((C::places.arrivals.declaration >= 0) == C::is_sharded);
}

}  // namespace

TEMPLATE_TEST_CASE("what a composition does not have is nowhere in a program", "",
                   (job<checkpointing::every<2>, adapter, sharding::data_parallel<ranks<1>>>),
                   (job<checkpointing::every<2>, adapter>), (job<adapter, sharding::zero<3, ranks<4>>>),
                   (job<adapter, sharding::zero<2, ranks<2>>>), (job<adapter>),
                   (job<adapter, precision::mixed<bf16>>), (job<sharding::zero<3, ranks<2>>>), (job<>),
                   (job<quantization::nf4<64>, adapter, sharding::zero<3, ranks<2>>>),
                   (job<optimizers::paged<optimizers::adamw<>>, sharding::zero<1, ranks<2>>>)) {
    check<typename TestType::composition>();
}
