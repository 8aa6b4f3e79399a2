// SPDX-License-Identifier: Apache-2.0
// checkpointing::within from the least memory to that of keeping everything, for one model: what it computes again
// against the published optimum of a model of the memory (in percent of a forward pass), and the laws of every budget.
#include <algorithm>
#include <catch2/catch.hpp>
#include <map>
#include <snug/plan.hpp>
#include <vector>

namespace {

using namespace snug;
namespace checkpointing = snug::checkpointing;

// The rates of the devices, with other memory.
template <class Device, index_t Hundredths>
struct of_memory : Device {
    static constexpr bytes memory{Hundredths * 1'073'741'824 / 100};
    static constexpr bytes reserve{};
};

struct gpt2 {
    using device = devices::h100_80gb;
    template <class Policy>
    using trained = trainer<models::gpt2_124m, batch<16, 1024>, precision::mixed<bf16>, Policy, on<cuda>>;
};
struct llama2 {
    using device = devices::h100_80gb;
    template <class Policy>
    using trained = trainer<models::llama2_7b, batch<1, 4096>, precision::pure<bf16>,
                            optimizers::adamw<optimizers::states<int8>>, Policy, on<cuda>>;
};
struct llama3_qlora {
    using device = devices::rtx_4090;
    template <class Policy>
    using trained = trainer<models::llama3_8b, batch<1, 4096>, precision::mixed<bf16>,
                            quantization::double_quantized<quantization::nf4<64>>,
                            adapters::lora<rank<16>, alpha<32>, targets<all_linear>>, Policy, on<cuda>>;
};

struct outcome {
    double memory = 0, expected = 0, percent = 0, bound = 0;
    bytes budget{}, total{};
    bool keeps_everything = false;
};

/// A memory in hundredths of a GiB, and what is computed again in tenths of a percent.
template <class Tested, index_t Hundredths, int Tenths>
outcome at() {
    using given = of_memory<typename Tested::device, Hundredths>;
    using T = typename Tested::template trained<checkpointing::within<given>>;
    using found = checkpointing::chosen<T>;
    static_assert(fits<T, given>);
    return {Hundredths / 100.,
            Tenths / 10.,
            found::recompute_percent,
            found::bound,
            given::memory,
            footprint<T>.total,
            std::is_same_v<typename found::plan, checkpointing::none>};
}

/// The most that is alive at once.
template <class C>
index_t most_alive() {
    std::map<int, index_t> changes;
    index_t alive = 0;
    for (auto const& d : C::plan.declarations) {
        if (d.where != space::device_memory) continue;
        auto const size = round_up(d.size().count, buffer_alignment);
        if (d.alive.forever) alive += size;
        else
            for (int i = 0; i < d.alive.count; ++i) {
                changes[d.alive.intervals[static_cast<std::size_t>(i)].first] += size;
                changes[d.alive.intervals[static_cast<std::size_t>(i)].last + 1] -= size;
            }
    }
    auto most = alive;
    for (auto const& [when, change] : changes) most = std::max(most, alive += change);
    return most;
}

/// A set of values, and where inputs of blocks wait elsewhere as well.
constexpr unsigned away = detail::offloads_inputs;
template <class Search, unsigned Set>
constexpr detail::keep_option option = [] {
    constexpr auto here = Search::study::option(Set & ~away, Search::rates);
    static_assert(here.first);
    return (Set & away) != 0 ? Search::study::offloading_inputs(here.second, Search::rates) : here.second;
}();

/// The bound of a plan of two groups is never above what is alive.
template <class Search, unsigned First, unsigned Second, index_t Blocks>
void check_bound() {
    constexpr auto first = option<Search, First>, second = option<Search, Second>;
    constexpr bool is_first = first.transient >= second.transient;
    using policy = typename Search::template laid_out<Blocks, is_first ? First : Second,
                                                      Search::study::chain.blocks - Blocks,
                                                      is_first ? Second : First, 0, 0>::policy;
    detail::option_front both;
    both.options[0] = is_first ? first : second;
    both.options[1] = is_first ? second : first;
    both.size = 2;
    using C = typename Search::template composed<policy>;
    auto const bound = detail::bound_of(Search::study::chain, both, {0, 0, 1, -1, Blocks});
    INFO(First << " in " << Blocks << " blocks, " << Second);
    CHECK(bound <= most_alive<C>());
    CHECK(most_alive<C>() <= C::plan.total().count);
    CHECK(Search::template total_with<policy>() == C::plan.total().count);
}

template <class Tested>
using search = typename Tested::template trained<
    checkpointing::within<of_memory<typename Tested::device, 8000>>>::composition::chosen::within;

[[maybe_unused]] std::vector<outcome> outcomes(std::type_identity<gpt2>) {
    using T = gpt2;
    return {at<T, 280, 584>(), at<T, 300, 510>(), at<T, 350, 409>(), at<T, 400, 312>(), at<T, 450, 240>(),
            at<T, 500, 184>(), at<T, 550, 139>(), at<T, 600, 92>(),  at<T, 650, 37>(),  at<T, 690, 0>()};
}
[[maybe_unused]] std::vector<outcome> outcomes(std::type_identity<llama2>) {
    using T = llama2;
    // At 41 GiB 65.2 without the rotation of keys that are computed again for attention's backward, which is 1.5.
    return {at<T, 3950, 788>(), at<T, 4100, 667>(), at<T, 4300, 513>(),
            at<T, 4500, 373>(), at<T, 4700, 234>(), at<T, 4900, 94>(),
            at<T, 5100, 35>(),  at<T, 5300, 11>(),  at<T, 5450, 0>()};
}
[[maybe_unused]] std::vector<outcome> outcomes(std::type_identity<llama3_qlora>) {
    using T = llama3_qlora;
    return {at<T, 800, 709>(), at<T, 1000, 561>(), at<T, 1200, 427>(), at<T, 1400, 294>(), at<T, 1600, 161>(),
            at<T, 1800, 37>(), at<T, 2000, 21>(),  at<T, 2200, 7>(),   at<T, 2324, 0>()};
}

using tested = SNUG_TESTED;

}  // namespace

TEST_CASE("within a budget as little is computed again as can be") {
    auto const all = outcomes(std::type_identity<tested>{});
    for (std::size_t i = 0; i < all.size(); ++i) {
        auto const& found = all[i];
        CAPTURE(found.memory);
        CHECK(std::abs(found.percent - found.expected) <= 1);
        CHECK(found.bound <= found.percent);
        CHECK(found.percent - found.bound < 2.5);
        CHECK(found.total <= found.budget);
        if (i > 0) CHECK(found.percent <= all[i - 1].percent);
    }
    CHECK(all.back().keeps_everything);
}

TEST_CASE("the bound of a plan is not above what is alive") {
    using found = search<tested>;
    check_bound<found, 0, 6, 3>();
    check_bound<found, 4, 46, 5>();
    check_bound<found, 14, 6, 7>();
    check_bound<found, 38, 2, 1>();
    check_bound<found, 64, 47, 6>();
    check_bound<found, 127, 0, 2>();
    check_bound<found, away | 64, 47, 6>();
    check_bound<found, away | 14, away | 38, 6>();
    check_bound<found, away | 127, away, 6>();
}

template <class T, class Device>
void check_device(double most_percent, index_t total) {
    using given = checkpointing::within<Device>;
    using trained = typename T::template trained<given>;
    static_assert(fits<trained, Device>);
    CHECK(checkpointing::chosen<trained>::recompute_percent <= most_percent);
    CHECK(footprint<trained>.total.count == total);
}

// What the whole of a card is worth.
struct llama2_of_4 {
    template <class Policy>
    using trained = trainer<models::llama2_7b, batch<4, 4096>, precision::pure<bf16>,
                            optimizers::adamw<optimizers::states<int8>>, Policy, on<cuda>>;
};
struct llama3_qlora_of_2 {
    template <class Policy>
    using trained = trainer<models::llama3_8b, batch<2, 4096>, precision::mixed<bf16>,
                            quantization::double_quantized<quantization::nf4<64>>,
                            adapters::lora<rank<16>, alpha<32>, targets<all_linear>>, Policy, on<cuda>>;
};
/// Beside a plan without, within the same memory.
template <class T, class Device>
void check_offloading() {
    using here = typename T::template trained<checkpointing::within<Device>>;
    using trained = typename T::template trained<checkpointing::within<Device, checkpointing::offloading>>;
    using found = checkpointing::chosen<trained>;
    static_assert(fits<trained, Device>);
    CHECK(found::recompute_percent <= checkpointing::chosen<here>::recompute_percent);
    CHECK(found::bound <= found::recompute_percent);
    CHECK(found::offloaded == footprint<trained>.paged);
    CHECK(found::least <= checkpointing::chosen<here>::least);
}

TEST_CASE("a batch for the whole of a card costs little to fit") {
    if constexpr (std::is_same_v<tested, llama2>)
        check_device<llama2_of_4, devices::h100_80gb>(15, 84'622'811'328),
            check_offloading<llama2_of_4, devices::h100_80gb>();
    if constexpr (std::is_same_v<tested, llama3_qlora>)
        check_device<llama3_qlora_of_2, devices::rtx_4090>(26, 24'915'959'872),
            check_offloading<llama3_qlora_of_2, devices::rtx_4090>();
}
