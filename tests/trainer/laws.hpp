// SPDX-License-Identifier: Apache-2.0
// Memory policies do not change the mathematics.
#pragma once

#include "place.hpp"

#include <catch2/catch.hpp>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

namespace {

using namespace snug;
using snug_test::placed;
using gpt2 = models::gpt2<layers<5>, heads<2>, width<32>, vocabulary<61>, context<16>>;
using llama = models::llama<layers<5>, heads<4>, kv_heads<2>, width<32>, mlp<48>, vocabulary<61>, context<16>,
                            tied_head<1>>;

/// Tokens that depend on nothing but their position.
struct tokens {
    std::vector<std::int32_t> inputs, targets;
    explicit tokens(std::size_t count, std::uint64_t seed = 1) {
        for (std::size_t i = 0; i < count; ++i) {
            inputs.push_back(static_cast<std::int32_t>(random::bits(seed, 0, i) % 61));
            targets.push_back(static_cast<std::int32_t>(random::bits(seed, 1, i) % 61));
        }
    }
    token_batch batch() const { return {inputs, targets}; }
};

template <class Run>
std::vector<unsigned char> bits_of_weights(Run& run) {
    std::vector<unsigned char> all;
    for (auto const& entry : Run::composition::parameter_table.entries) {
        auto const values = run.copy_of_weights(entry.name.view());
        for (auto b : std::as_bytes(std::span(values))) all.push_back(static_cast<unsigned char>(b));
    }
    return all;
}

/// Losses of a few steps, then the weights, all as bits.
template <class Run>
std::vector<unsigned char> history(int steps = 4) {
    Run run;
    run.options.learning_rate = schedule::constant(1e-2);
    std::vector<unsigned char> all;
    for (int i = 0; i < steps; ++i) {
        tokens const data(static_cast<std::size_t>(Run::tokens_per_step), static_cast<std::uint64_t>(i));
        auto const result = run.step(data.batch());
        unsigned char loss[sizeof(double)];
        std::memcpy(loss, &result.loss, sizeof loss);
        all.insert(all.end(), std::begin(loss), std::end(loss));
    }
    auto const weights = bits_of_weights(run);
    all.insert(all.end(), weights.begin(), weights.end());
    return all;
}

template <class Model, class Precision>
void checkpointing_changes_no_bit() {
    auto const plain = history<placed<Model, batch<2, 16>, Precision>>();
    CHECK(history<placed<Model, batch<2, 16>, Precision, checkpointing::every_block>>() == plain);
    CHECK(history<placed<Model, batch<2, 16>, Precision, checkpointing::every<2>>>() == plain);
    CHECK(history<placed<Model, batch<2, 16>, Precision, checkpointing::square_root>>() == plain);
    CHECK(history<placed<Model, batch<2, 16>, Precision, checkpointing::selective>>() == plain);
    CHECK(history<placed<Model, batch<2, 16>, Precision, checkpointing::every<100>>>() == plain);
    using checkpointing::group;
    constexpr auto blocks = Model::numbers.layers;
    CHECK(history<placed<Model, batch<2, 16>, Precision,
                         checkpointing::plan<group<blocks - 1, checkpointing::every_block>,
                                             group<1, checkpointing::none>>>>() == plain);
    CHECK(history<placed<Model, batch<2, 16>, Precision,
                         checkpointing::plan<group<1, checkpointing::selective>,
                                             group<blocks - 1, checkpointing::every<2>>>>>() == plain);
    using checkpointing::keep;
    CHECK(
        history<placed<Model, batch<2, 16>, Precision,
                       checkpointing::plan<group<1, keep<"attention.output">>,
                                           group<blocks - 1, keep<"qkv.output", "projection.output">>>>>() ==
        plain);
}

}  // namespace

TEST_CASE("checkpointing does not change a bit") {
    checkpointing_changes_no_bit<gpt2, precision::full<fp32>>();
    checkpointing_changes_no_bit<llama, precision::mixed<bf16>>();
}

TEST_CASE("accumulation agrees with the large batch, whatever the micro-batches count") {
    using large =
        placed<gpt2, batch<8, 16>, precision::full<fp64>, optimizers::adamw<optimizers::states<fp64>>>;
    using small = placed<gpt2, batch<2, 16>, precision::full<fp64>,
                         optimizers::adamw<optimizers::states<fp64>>, accumulation::micro_batches<4>>;
    large whole;
    small parts;
    for (int step = 0; step < 3; ++step) {
        tokens data(8 * 16, static_cast<std::uint64_t>(step));
        // Micro-batches with 3, 32, 17 and 0 counted tokens: a mean of means would be far off.
        for (std::size_t i = 3; i < 32; ++i) data.targets[i] = -1;
        for (std::size_t i = 64; i < 79; ++i) data.targets[i] = -1;
        for (std::size_t i = 96; i < 128; ++i) data.targets[i] = -1;
        auto const a = whole.step(data.batch());
        auto const b = parts.step(data.batch());
        CHECK(a.tokens == 52);
        CHECK(b.tokens == a.tokens);
        CHECK(b.loss == Approx(a.loss).epsilon(1e-12));
        CHECK(b.gradient_norm == Approx(a.gradient_norm).epsilon(1e-12));
    }
    using large32 = placed<gpt2, batch<8, 16>>;
    using small32 = placed<gpt2, batch<2, 16>, accumulation::micro_batches<4>>;
    large32 whole32;
    small32 parts32;
    tokens const data(8 * 16);
    auto const a = whole32.step(data.batch());
    auto const b = parts32.step(data.batch());
    CHECK(b.loss == Approx(a.loss).epsilon(1e-6));
    CHECK(b.gradient_norm == Approx(a.gradient_norm).epsilon(1e-6));
}

namespace {

template <class Run>
void resuming_equals_going_on() {
    constexpr auto half = snug_test::half_of_a_long_run;
    auto const path = (std::filesystem::temp_directory_path() / "snug-laws.snapshot").string();
    auto const advance = [](Run& run, int first, int last) {
        for (int i = first; i < last; ++i)
            run.step(tokens(static_cast<std::size_t>(Run::tokens_per_step), static_cast<std::uint64_t>(i))
                         .batch());
    };
    Run straight;
    straight.options.learning_rate = schedule::warm_up_cosine(1e-2, half / 5, 2 * half);
    advance(straight, 0, 2 * half);

    Run first_half;
    first_half.options = straight.options;
    advance(first_half, 0, half);
    first_half.save(path, {{"position", "50"}});

    Run second_half(12345);
    second_half.options = straight.options;
    auto const notes = second_half.resume(path);
    REQUIRE(notes.size() == 1);
    CHECK(notes[0] == std::pair<std::string, std::string>("position", "50"));
    CHECK(second_half.steps() == half);
    advance(second_half, half, 2 * half);
    CHECK(bits_of_weights(second_half) == bits_of_weights(straight));
    std::remove(path.c_str());
}

}  // namespace

TEST_CASE("some steps, a snapshot and as many more equal one run bit for bit") {
    resuming_equals_going_on<placed<gpt2, batch<2, 16>>>();
    resuming_equals_going_on<placed<llama, batch<2, 16>, precision::mixed<bf16>>>();
}

TEST_CASE("a snapshot goes on under other memory policies and not in another trainer") {
    auto const path = (std::filesystem::temp_directory_path() / "snug-laws-other.snapshot").string();
    placed<gpt2, batch<2, 16>> run;
    run.step(tokens(32).batch());
    run.save(path);
    placed<gpt2, batch<2, 16>, checkpointing::every_block> checkpointed(7);
    checkpointed.resume(path);
    CHECK(bits_of_weights(checkpointed) == bits_of_weights(run));

    placed<llama, batch<2, 16>> stranger(7);
    auto const before = bits_of_weights(stranger);
    CHECK_THROWS_AS(stranger.resume(path), snug::error);
    CHECK(bits_of_weights(stranger) == before);
    std::remove(path.c_str());
}

TEST_CASE("generation with keys and values kept equals generation that computes everything again") {
    placed<llama, batch<2, 16>> kept;
    placed<llama, batch<2, 16>, checkpointing::selective> selective;
    placed<llama, batch<2, 16>, checkpointing::every_block> again;
    using checkpointing::group;
    constexpr auto blocks = llama::numbers.layers;
    placed<llama, batch<2, 16>,
           checkpointing::plan<group<1, checkpointing::every_block>, group<blocks - 1, checkpointing::none>>>
        partly;
    std::vector<std::int32_t> const prompt{5, 17, 3};
    for (double temperature : {0.0, 0.8}) {
        generation_options options;
        options.tokens = 13;
        options.temperature = temperature;
        options.top_k = 20;
        options.seed = 3;
        auto const text = kept.generate(prompt, options);
        CHECK(text.size() == 13);
        CHECK(selective.generate(prompt, options) == text);
        CHECK(again.generate(prompt, options) == text);
        CHECK(partly.generate(prompt, options) == text);
        // Ended by one of its tokens, a text is what came before that.
        options.ends = {text[9], text[6]};
        auto const before =
            std::find_first_of(text.begin(), text.end(), options.ends.begin(), options.ends.end());
        CHECK(kept.generate(prompt, options) == std::vector<std::int32_t>(text.begin(), before));
    }
}

TEST_CASE("evaluation gives the loss of the step and changes nothing") {
    placed<gpt2, batch<2, 16>, accumulation::micro_batches<2>> run;
    tokens const data(64);
    auto const before = bits_of_weights(run);
    auto const evaluated = run.evaluate(data.batch());
    CHECK(bits_of_weights(run) == before);
    auto const stepped = run.step(data.batch());
    CHECK(evaluated.loss == stepped.loss);
    CHECK(evaluated.perplexity == Approx(std::exp(stepped.loss)));
}

TEST_CASE("a batch that does not fit the trainer is refused with what was found and expected") {
    placed<gpt2, batch<2, 16>> run;
    tokens data(32);
    CHECK_THROWS_WITH(run.step({std::span(data.inputs).first(31), data.targets}),
                      Catch::Contains("31 inputs") && Catch::Contains("expected 32"));
    data.inputs[9] = 61;
    CHECK_THROWS_WITH(run.step(data.batch()),
                      Catch::Contains("token 61") && Catch::Contains("vocabulary of 61"));
    data.inputs[9] = -1;
    CHECK_THROWS_WITH(run.step(data.batch()), Catch::Contains("token -1"));
    data.inputs[9] = 0;
    std::fill(data.targets.begin(), data.targets.end(), -1);
    CHECK_THROWS_WITH(run.step(data.batch()), Catch::Contains("without a counted target"));
    CHECK(run.steps() == 0);
}
