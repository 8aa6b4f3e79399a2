// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "../exact/promises.hpp"

/// Blocks that keep some of their values: each value of a block is kept or computed again, and what is trained is the same.
namespace test {

/// The values that backward reads in a block of both families, in their order.
inline constexpr std::size_t values_of_a_block = 7;
inline constexpr std::string_view value_names[][values_of_a_block] = {
    {"norm1.output", "qkv.output", "attention.output", "projection.output", "norm2.output", "up.output",
     "gelu.output"},
    {"norm1.output", "qkv.output", "attention.output", "projection.output", "norm2.output", "gate_up.output",
     "swiglu.output"}};

/// A policy of one's own: keeps the values whose bits are set.
template <unsigned Set>
struct keeps_set {
    using axis = snug::axis::checkpointing;
    static constexpr bool keeps(std::string_view name) {
        for (auto const& names : value_names)
            for (std::size_t i = 0; i < values_of_a_block; ++i)
                if (names[i] == name) return (Set >> i & 1) != 0;
        throw "a value that the test does not know";
    }
    static constexpr snug::index_t segment(snug::index_t) { return 0; }
};

/// A block of each set.
template <unsigned... Sets>
using plan_of_sets = snug::checkpointing::plan<snug::checkpointing::group<1, keeps_set<Sets>>...>;

template <snug::index_t Blocks>
using gpt2_of = snug::models::gpt2<snug::layers<Blocks>, snug::heads<2>, snug::width<24>,
                                   snug::vocabulary<61>, snug::context<16>>;
template <snug::index_t Blocks>
using llama_of = snug::models::llama<snug::layers<Blocks>, snug::heads<4>, snug::kv_heads<2>, snug::width<32>,
                                     snug::mlp<27>, snug::vocabulary<61>, snug::context<16>>;
using rows_of_16 = snug::batch<2, 16>;
using lora_with_dropout =
    snug::adapters::lora<snug::rank<3>, snug::dropout<std::ratio<1, 5>>, snug::also_train<snug::norms>>;

/// Losses, norms, and in the end all that is trained, of steps of which every other has several examples in a row.
inline history packed_history(subject const& s) {
    guarded_seam seam;
    auto const run = s.start();
    std::vector<std::int32_t> starts;
    for (snug::index_t i = 0; i < s.tokens; ++i) starts.push_back(i % 16 < 5 ? 0 : i % 16 < 11 ? 5 : 11);
    history result;
    for (int i = 0; i < 4; ++i) {
        tokens_of_step const data(s, i);
        auto batch = data.batch();
        if (i % 2 == 1) batch.starts = starts;
        auto const done = run->step(batch);
        result.numbers.push_back(done.loss);
        result.numbers.push_back(done.gradient_norm);
    }
    result.state = state_of(s, seam);
    CHECK(seam.guards_are_whole());
    return result;
}

/// The first keeps everything; the others train the same.
inline void check_same_bits(std::vector<subject> const& all) {
    auto const expected = packed_history(all[0]);
    CHECK(expected.numbers[6] < expected.numbers[0] * 2);
    for (std::size_t i = 1; i < all.size(); ++i) {
        INFO(all[i].name);
        CHECK(same_bits(packed_history(all[i]), expected));
    }
}

}  // namespace test
