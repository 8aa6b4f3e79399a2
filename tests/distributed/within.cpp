// SPDX-License-Identifier: Apache-2.0
// What blocks keep is found within the budget of a rank, whose share of all else leaves another room at every stage; bits
// are those of ranks that keep everything.
#include <catch2/catch.hpp>
#include <distributed/trained.hpp>

using namespace snug_test;

namespace {

namespace checkpointing = snug::checkpointing;
using snug::footprint;

using deep = snug::models::gpt2<snug::layers<5>, snug::heads<2>, snug::width<32>, snug::vocabulary<101>,
                                snug::context<32>>;

/// Half of the way from what keeping nothing of blocks takes to what keeping everything does, of one rank.
template <class Sharding>
struct half_of_the_way {
    template <class Policy>
    static constexpr snug::index_t total = footprint<shared<deep, Sharding, Policy>>.total.count;
    static constexpr snug::bytes memory{(total<checkpointing::every_block> + total<checkpointing::none>) / 2};
    static constexpr snug::bytes reserve{};
};
// One rank alone, or where gradients are added at the end of a step, as many that hold everything.
template <class Sharding>
using untuned = std::conditional_t<Sharding::stage == 1,
                                   shared<deep, snug::sharding::data_parallel<snug::ranks<Sharding::ranks>>>,
                                   alone<deep>>;
template <class Sharding>
using tuned = shared<deep, Sharding, checkpointing::within<half_of_the_way<Sharding>>>;

}  // namespace

TEMPLATE_TEST_CASE("within a budget of a rank the same is trained, in what the plan takes", "", (zero<1, 2>),
                   (zero<2, 3>), (zero<3, 2>)) {
    using T = tuned<TestType>;
    using found = checkpointing::chosen<T>;
    static_assert(snug::fits<T, half_of_the_way<TestType>>);
    static_assert(found::recompute_percent > 0 && found::unused < snug::bytes{16384});
    // The bill of a rank is that of the plan, given by name.
    static_assert(footprint<T>.total == footprint<shared<deep, TestType, typename found::plan>>.total);
    CHECK((train<T>() == train<untuned<TestType>>()));
    constexpr int ranks = T::composition::ranks;
    std::atomic<int> exact = 0;
    snug::distributed::threads::run(ranks, [&](snug::distributed::threads& world) {
        T const trainer(world, 3);
        exact += trainer.allocated() == footprint<T>.total + footprint<T>.paged;
    });
    CHECK(exact == ranks);
}
