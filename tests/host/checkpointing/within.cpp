// SPDX-License-Identifier: Apache-2.0
// A trainer that finds itself what its blocks keep: it takes the memory that it was given, and nothing but memory and
// time changes.
#include "kept.hpp"

namespace {

using namespace snug;

constexpr index_t blocks = 6;
template <class... Policies>
using gpt2 = trainer<test::gpt2_of<blocks>, test::rows_of_16, Policies...>;
template <class... Policies>
using llama = trainer<test::llama_of<blocks>, test::rows_of_16, precision::mixed<bf16>,
                      accumulation::micro_batches<2>, test::lora_with_dropout, Policies...>;

/// So many percent of the way from every_block's total to that of none.
template <template <class...> class Tested, index_t Percent>
constexpr bytes between = [] {
    constexpr auto least = footprint<Tested<checkpointing::every_block>>.total.count;
    constexpr auto most = footprint<Tested<>>.total.count;
    return bytes{least + (most - least) * Percent / 100};
}();
template <template <class...> class Tested, index_t Percent>
using on_the_way = Tested<checkpointing::within<budget<between<Tested, Percent>>>>;

/// Less than there is a plan for unless inputs of blocks leave.
template <template <class...> class Tested>
constexpr bytes below_every_block{(footprint<Tested<checkpointing::offloaded<>>>.total.count +
                                   footprint<Tested<checkpointing::every_block>>.total.count) /
                                  2};
template <template <class...> class Tested>
using offloading =
    Tested<checkpointing::within<budget<below_every_block<Tested>>, checkpointing::offloading>>;

template <template <class...> class Tested>
using tested = meta::list<Tested<>, on_the_way<Tested, 10>, on_the_way<Tested, 60>, offloading<Tested>>;

template <template <class...> class Tested>
constexpr bool offloads =
    footprint<offloading<Tested>>.total <= below_every_block<Tested>&& footprint<offloading<Tested>>.paged >
        bytes{} &&
    checkpointing::chosen<offloading<Tested>>::offloaded == footprint<offloading<Tested>>.paged;
static_assert(offloads<gpt2> && offloads<llama>);

template <template <class...> class Tested, index_t Percent>
constexpr bool is_within = footprint<on_the_way<Tested, Percent>>.total <=
                           between<Tested, Percent>&& footprint<on_the_way<Tested, Percent>>.total >
                           footprint<Tested<checkpointing::every_block>>.total;
static_assert(is_within<gpt2, 10> && is_within<gpt2, 60>);
static_assert(is_within<llama, 10> && is_within<llama, 60>);

}  // namespace

TEST_CASE("within a budget the same is trained to the bit, in memory that is planned") {
    for (auto const& all : {test::trainers_of<tested<gpt2>>(), test::trainers_of<tested<llama>>()}) {
        test::check_same_bits(all);
        for (std::size_t i = 1; i < all.size(); ++i) {
            test::check_allocations(all[i]);
            test::check_memory(all[i]);
        }
    }
}
