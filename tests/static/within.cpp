// SPDX-License-Identifier: Apache-2.0
// checkpointing::within: the plan that it finds, and what is always true of it. Other models and budgets are for the
// night (tests/nightly/within.cpp).
#include <snug/plan.hpp>

namespace {

using namespace snug;
using checkpointing::chosen;
using checkpointing::group;
using checkpointing::keep;
using checkpointing::plan;
using checkpointing::within;

// GPT-2 124M, 32 sequences of 1024 tokens, on a card of 8 GB: none takes 11.4 GiB, selective 8.1.
template <class Policy>
using on_rtx_3070 = trainer<models::gpt2_124m, batch<32, 1024>, precision::mixed<bf16>, Policy, on<cuda>>;
using tuned = on_rtx_3070<within<devices::rtx_3070>>;
using expected = plan<group<5, keep<"qkv.output", "attention.output", "projection.output">>,
                      group<6, keep<"qkv.output", "attention.output", "projection.output", "up.output">>,
                      group<1, keep<"norm1.output", "qkv.output", "attention.output", "projection.output",
                                    "norm2.output", "up.output">>>;
static_assert(std::is_same_v<chosen<tuned>::plan, expected>);
static_assert(fits<tuned, devices::rtx_3070>);
static_assert(footprint<tuned>.total.count == 7'734'331'968);
static_assert(footprint<tuned>.total == footprint<on_rtx_3070<expected>>.total);
static_assert(chosen<tuned>::recompute_percent <= 18 && chosen<tuned>::proven);
static_assert(chosen<tuned>::bound > 16 && chosen<tuned>::bound <= chosen<tuned>::recompute_percent);
static_assert(chosen<tuned>::unused ==
              devices::rtx_3070::memory - devices::rtx_3070::reserve - footprint<tuned>.total);

// Inputs of blocks leave for nothing while a block computes longer: less is computed again.
using checkpointing::offloaded;
using checkpointing::offloading;
using offloads = on_rtx_3070<within<devices::rtx_3070, offloading>>;
using expected_away =
    plan<group<11, offloaded<keep<"qkv.output", "attention.output", "up.output">>>,
         group<1, keep<"qkv.output", "attention.output", "projection.output", "norm2.output", "up.output">>>;
static_assert(std::is_same_v<chosen<offloads>::plan, expected_away>);
static_assert(footprint<offloads>.total.count == 7'784'401'472);
static_assert(footprint<offloads>.total == footprint<on_rtx_3070<expected_away>>.total);
static_assert(chosen<offloads>::offloaded.count == 7L * 32 * 1024 * 768 * 2);
static_assert(chosen<offloads>::offloaded == footprint<offloads>.paged &&
              chosen<tuned>::offloaded == bytes{});
static_assert(chosen<offloads>::recompute_percent < chosen<tuned>::recompute_percent - 2);
// Over a link on which all of them wait for longer than blocks compute it is the plan without.
struct with_a_slow_link : devices::rtx_3070 {
    static constexpr double host_link = 1;
};
static_assert(std::is_same_v<chosen<on_rtx_3070<within<with_a_slow_link, offloading>>>::plan, expected>);

// In the least memory that there is a plan for, and in that of keeping everything.
template <class Policy>
using small =
    trainer<models::gpt2<layers<5>, heads<2>, width<32>, vocabulary<64>, context<64>>, batch<2, 64>, Policy>;
template <class Policy>
using in_memory_of = small<within<budget<footprint<small<Policy>>.total>>>;
using everything = in_memory_of<checkpointing::none>;
static_assert(std::is_same_v<chosen<everything>::plan, checkpointing::none>);
static_assert(chosen<everything>::recompute_percent == 0 && chosen<everything>::unused == bytes{});
template <class Policy>
constexpr bool costs_no_more = footprint<in_memory_of<Policy>>.total <=
                               footprint<small<Policy>>.total&& chosen<in_memory_of<Policy>>::bound <=
                               chosen<in_memory_of<Policy>>::recompute_percent;
static_assert(costs_no_more<checkpointing::every_block>);
static_assert(costs_no_more<checkpointing::selective>);
// There is a plan for the least, of however large a budget it is asked.
constexpr bytes least = chosen<everything>::least;
static_assert(least == chosen<in_memory_of<checkpointing::every_block>>::least);
static_assert(least <= footprint<small<checkpointing::every_block>>.total);
static_assert(footprint<small<within<budget<least>>>>.total <= least);
// Where all fits nothing leaves, and there is no more to be had without.
using with_less = chosen<small<within<budget<footprint<small<checkpointing::none>>.total>, offloading>>>;
static_assert(with_less::least <= least && with_less::offloaded == bytes{} &&
              with_less::recompute_percent == 0);

}  // namespace
