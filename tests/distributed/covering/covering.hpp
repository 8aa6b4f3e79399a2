// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <catch2/catch.hpp>
#include <distributed/trained.hpp>

/// Every two policies of two axes together once, over several ranks, against one rank that has all micro-batches.
namespace snug_test {

template <int Ranks>
struct shardings {
    template <std::size_t I>
    static auto at() {
        if constexpr (I == 0) return std::type_identity<each<Ranks>>{};
        else if constexpr (I == 1)
            return std::type_identity<zero<2, Ranks, snug::sharding::bucket<snug::bytes{16384}>>>{};
        else if constexpr (I == 2) return std::type_identity<zero<3, Ranks, snug::sharding::prefetch<0>>>{};
        else return std::type_identity<zero<3, Ranks>>{};
    }
};

/// Sixteen rows in which any two values of two of five axes meet once: an orthogonal array, from the products of the field
/// of four elements. Every value of those meets both of either of two more axes, and most numbers of ranks.
struct orthogonal {
    static constexpr std::size_t rows = 16;
    static constexpr std::array<std::size_t, 5> at(std::size_t index) {
        constexpr std::size_t twice[] = {0, 2, 3, 1}, thrice[] = {0, 3, 1, 2};
        auto const a = index / 4, b = index % 4;
        return {a, b, a ^ b, a ^ twice[b], a ^ thrice[b]};
    }
    static constexpr bool bit(unsigned mask, std::size_t index) { return (mask >> index & 1u) != 0; }
};

/// Row Index of the covering.
template <std::size_t Index>
struct row {
    static constexpr auto chosen = orthogonal::at(Index);
    template <std::size_t Axis, class... All>
    using pick = snug::meta::mp::mp_at_c<snug::meta::list<All...>, chosen[Axis]>;

    static constexpr int ranks =
        std::array{2, 3, 4, 8}[(orthogonal::bit(0xED48, Index) ? 2u : 0u) + orthogonal::bit(0xE2B8, Index)];
    using sharding = typename decltype(shardings<ranks>::template at<chosen[0]>())::type;
    using precision = pick<1, snug::precision::full<snug::fp32>, snug::precision::mixed<snug::bf16>,
                           snug::precision::mixed<snug::fp16>, snug::precision::pure<snug::bf16>>;
    using checkpointing = pick<2, snug::checkpointing::none, snug::checkpointing::every_block,
                               snug::checkpointing::every<2>, snug::checkpointing::selective>;
    using optimizer =
        pick<3, snug::optimizers::adamw<>, snug::optimizers::adamw<snug::optimizers::states<snug::int8>>,
             snug::optimizers::paged<snug::optimizers::adamw<snug::optimizers::states<snug::int8>>>,
             snug::optimizers::sgd<>>;
    using low_rank = snug::adapters::lora<snug::rank<4>, snug::alpha<8>, snug::targets<snug::all_linear>,
                                          snug::dropout<std::ratio<1, 10>>>;
    using decomposed = snug::adapters::dora<snug::rank<4>, snug::alpha<8>, snug::targets<snug::all_linear>>;
    using adapters = pick<4, snug::adapters::none, low_rank, decomposed, low_rank>;
    using quantization = pick<4, snug::quantization::none, snug::quantization::none, snug::quantization::none,
                              snug::quantization::nf4<64>>;
    static constexpr bool is_packed = orthogonal::bit(0x11EE, Index);
    using model = std::conditional_t<orthogonal::bit(0x1E1E, Index), tiny_llama, tiny_gpt2>;

    static bool is_the_same() {
        auto const expected =
            train<alone<model, precision, checkpointing, optimizer, adapters, quantization>>(is_packed);
        auto const found =
            train<shared<model, sharding, precision, checkpointing, optimizer, adapters, quantization>>(
                is_packed);
        return found == expected;
    }
};

/// Every `Parts`-th row.
template <std::size_t Part, std::size_t Parts>
void check_part() {
    [&]<std::size_t... I>(std::index_sequence<I...>) {
        (
            [&] {
                if constexpr (I % Parts == Part) {
                    using one = row<I>;
                    INFO("row " << I << ": " << one::ranks << " ranks, axes "
                                << Catch::rangeToString(one::chosen));
                    CHECK(one::is_the_same());
                }
            }(),
            ...);
    }
    (std::make_index_sequence<orthogonal::rows>{});
}

inline constexpr std::size_t parts = 4;

}  // namespace snug_test
