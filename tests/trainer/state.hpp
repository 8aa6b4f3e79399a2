// SPDX-License-Identifier: Apache-2.0
// The state of training does not go wrong without an error.
#pragma once

#include "place.hpp"

#include <catch2/catch.hpp>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

namespace {

using namespace snug;
using snug_test::placed;
using tiny = models::llama<layers<2>, heads<2>, width<16>, mlp<16>, vocabulary<300>, context<8>>;
using in_fp32 = placed<tiny, batch<2, 8>>;
using in_fp16 = placed<tiny, batch<2, 8>, precision::mixed<fp16>>;
using in_blocks = placed<tiny, batch<2, 8>, optimizers::adamw<optimizers::states<int8>>>;

constexpr auto infinity = std::numeric_limits<double>::infinity();
constexpr auto not_a_number = std::numeric_limits<double>::quiet_NaN();

struct tokens {
    std::vector<std::int32_t> inputs, targets;
    explicit tokens(std::uint64_t seed = 1) {
        for (std::size_t i = 0; i < 16; ++i) {
            inputs.push_back(static_cast<std::int32_t>(random::bits(seed, 0, i) % 300));
            targets.push_back(static_cast<std::int32_t>(random::bits(seed, 1, i) % 300));
        }
    }
    token_batch batch() const { return {inputs, targets}; }
};

template <class Run>
std::vector<float> all_weights(Run& run) {
    std::vector<float> all;
    for (auto const& entry : Run::composition::parameter_table.entries)
        for (auto const w : run.copy_of_weights(entry.name.view())) all.push_back(static_cast<float>(w));
    return all;
}

template <class Run>
void fill(Run& run, std::string_view name, double value) {
    auto values = run.copy_of_weights(name);
    for (auto& w : values) w = static_cast<typename Run::weight_type>(static_cast<float>(value));
    run.set_weights(name, values);
}

/// What a call is refused with; empty when it is not.
template <class F>
std::string words_of(F const& f) {
    try {
        f();
    } catch (snug::error const& refused) {
        return refused.what();
    }
    return {};
}

/// Nothing that the head reads leaves a gradient anywhere, and the loss is that of a guess.
template <class Run>
void let_gradients_vanish(Run& run) {
    fill(run, "norm.weight", 0);
    fill(run, "head.weight", 0);
}

}  // namespace

TEST_CASE("a number that no step can mean is refused by name before the step") {
    in_fp32 run;
    tokens const data;
    run.step(data.batch());
    auto const before = all_weights(run);
    auto const good = run.options;
    auto const refused = [&](auto const& change) {
        run.options = good;
        change(run.options);
        auto const words = words_of([&] { run.step(data.batch()); });
        run.options = good;
        CHECK(run.steps() == 1);
        return words;
    };
    for (double const rate : {not_a_number, infinity, -infinity, -1e-3}) {
        CHECK_THAT(refused([=](auto& o) { o.learning_rate = rate; }),
                   Catch::Contains("options.learning_rate = "));
        CHECK_THAT(refused([=](auto& o) { o.learning_rate = schedule::cosine{.peak = rate}; }),
                   Catch::Contains("options.learning_rate.peak"));
        CHECK_THAT(refused([=](auto& o) { o.learning_rate = schedule::cosine{.floor = rate}; }),
                   Catch::Contains("options.learning_rate.floor"));
        CHECK_THAT(refused([=](auto& o) { o.weight_decay = rate; }), Catch::Contains("options.weight_decay"));
        CHECK_THAT(refused([=](auto& o) { o.largest_gradient_norm = rate; }),
                   Catch::Contains("options.largest_gradient_norm"));
        CHECK_THAT(refused([=](auto& o) { o.optimizer.beta1 = rate; }),
                   Catch::Contains("options.optimizer.beta1"));
        CHECK_THAT(refused([=](auto& o) { o.optimizer.beta2 = rate; }),
                   Catch::Contains("options.optimizer.beta2"));
        CHECK_THAT(refused([=](auto& o) { o.optimizer.epsilon = rate; }),
                   Catch::Contains("options.optimizer.epsilon"));
    }
    CHECK_THAT(refused([](auto& o) { o.optimizer.beta2 = 1; }),
               Catch::Contains("beta2 = 1, expected from 0 to below 1"));
    CHECK_THAT(refused([](auto& o) { o.optimizer.epsilon = 0; }), Catch::Contains("epsilon = 0"));
    CHECK_THAT(refused([](auto& o) { o.weight_decay = 1e6; }), Catch::Contains("options.weight_decay = 300"));
    CHECK_THAT(refused([](auto& o) { o.learning_rate = schedule::warm_up_cosine(1e-3, -1, 0); }),
               Catch::Contains("warm_up = -1"));
    CHECK_THAT(refused([](auto& o) { o.learning_rate = schedule::warm_up_cosine(1e-3, 0, -5); }),
               Catch::Contains("total = -5"));
    CHECK_THAT(refused([](auto& o) { o.learning_rate = schedule::warm_up_cosine(1e-3, 100, 50); }),
               Catch::Contains("total = 50") && Catch::Contains("100 of the warm-up"));
    CHECK((all_weights(run) == before));
    // What means something, however small, is no error.
    run.options.learning_rate = schedule::constant(0);
    run.options.weight_decay = run.options.largest_gradient_norm = run.options.optimizer.beta1 = 0;
    run.step(data.batch());
    CHECK(run.steps() == 2);
    CHECK((all_weights(run) == before));
}

TEST_CASE("an update needs gradients") {
    in_fp32 run;
    tokens const data;
    CHECK_THAT(words_of([&] { run.update({}); }), Catch::Contains("an update without gradients"));
    auto const result = run.accumulate(data.batch());
    // Numbers that are refused leave the gradients where they are.
    run.options.weight_decay = not_a_number;
    CHECK_THAT(words_of([&] { run.update(result); }), Catch::Contains("options.weight_decay"));
    run.options.weight_decay = 0.1;
    CHECK(run.update(result).gradient_norm > 0);
    CHECK(run.steps() == 1);
    CHECK_THAT(words_of([&] { run.update(result); }), Catch::Contains("an update without gradients"));
    CHECK(run.steps() == 1);
}

namespace {

/// Steps until one makes something infinite; what it says.
template <class Run>
std::string breaks(double learning_rate, std::string_view parameter, double value) {
    Run run;
    tokens const data;
    run.step(data.batch());
    run.options.learning_rate = schedule::constant(learning_rate);
    run.options.weight_decay = 0;
    fill(run, parameter, value);
    auto const words = words_of([&] { run.step(data.batch()); });
    bool finite = true;
    for (auto const w : all_weights(run)) finite &= std::isfinite(w);
    // What is not finite was made so by the step that threw.
    CHECK(finite == words.empty());
    return words;
}

}  // namespace

TEST_CASE("the step that makes a weight infinite is the step that throws, with its name") {
    CHECK_THAT(breaks<in_fp32>(1e39, "norm.weight", 1),
               Catch::Contains("after the update of step 2 (learning rate 1e+39") &&
                   Catch::Contains("tensor embedding.table: found NaN at element 0"));
    // fp32 holds it, fp16 does not.
    CHECK_THAT(breaks<in_fp16>(1e5, "norm.weight", 1),
               Catch::Contains("after the update of step 2") && Catch::Contains("infinity at element"));
    CHECK_THAT(breaks<in_blocks>(1e39, "norm.weight", 1), Catch::Contains("after the update of step 2"));
    CHECK(breaks<in_fp32>(1e3, "norm.weight", 1).empty());
}

TEST_CASE("a gradient whose square is infinite does not leave a state that updates nothing for ever") {
    in_fp32 run;
    tokens const data;
    run.options.largest_gradient_norm = 0;
    fill(run, "head.weight", 1e22);
    auto weights = run.copy_of_weights("head.weight");
    for (std::size_t i = 0; i < weights.size(); i += 3) weights[i] = -1e22f;
    run.set_weights("head.weight", weights);
    CHECK_THAT(words_of([&] { run.step(data.batch()); }),
               Catch::Contains("second_moment: found infinity at element"));
}

TEST_CASE("what overflows at the least loss scale is an error that names the first gradient") {
    in_fp16 run;
    tokens const data;
    auto const good = run.copy_of_weights("blocks.gate_up.weight");
    fill(run, "blocks.gate_up.weight", 60000);
    fill(run, "norm.weight", 60000);
    auto const before = all_weights(run);
    int skipped = 0;
    std::string words;
    while (words.empty() && skipped < 100)
        words = words_of([&] { skipped += run.step(data.batch()).skipped ? 1 : 1000; });
    CHECK(skipped == 16);  // from 2^16 to 1
    CHECK_THAT(words, Catch::Contains("at a loss scale of 1:") && Catch::Contains("tensor ") &&
                          Catch::Contains("at element") && Catch::Contains("the weights are unchanged"));
    CHECK(run.current_loss_scale() == 1);
    CHECK(run.steps() == 0);
    CHECK((all_weights(run) == before));
    // Put right, training goes on at once.
    run.set_weights("blocks.gate_up.weight", good);
    fill(run, "norm.weight", 1);
    auto const result = run.step(data.batch());
    CHECK_FALSE(result.skipped);
    CHECK(result.gradient_norm > 0);
}

TEST_CASE("a step without any gradient is tried with another loss scale and never counts as good") {
    in_fp16 run;
    tokens const data;
    let_gradients_vanish(run);
    auto const before = all_weights(run);
    // Higher, until what the loss itself gives overflows, and back.
    for (int exponent = 17; exponent <= 20; ++exponent) {
        CHECK(run.step(data.batch()).skipped);
        CHECK(run.current_loss_scale() == std::ldexp(1.0, exponent));
    }
    int skipped = 4;
    std::string words;
    while (words.empty() && skipped < 100)
        words = words_of([&] { skipped += run.step(data.batch()).skipped ? 1 : 1000; });
    CHECK(skipped == loss_scale::most_skips - 1);
    CHECK_THAT(words, Catch::Contains("skipped 50 times in a row"));
    CHECK(run.steps() == 0);
    CHECK((all_weights(run) == before));
}

TEST_CASE("steps in a row without any gradient are an error that names the largest weight") {
    in_fp32 run;
    tokens const data;
    let_gradients_vanish(run);
    for (int i = 1; i < in_fp32::most_vanished; ++i) CHECK(run.step(data.batch()).gradient_norm == 0);
    auto const before = all_weights(run);
    CHECK_THAT(words_of([&] { run.step(data.batch()); }),
               Catch::Contains("gradients that are all exactly 0 in step 8") &&
                   Catch::Contains("the 7 before it") && Catch::Contains("tensor blocks.") &&
                   Catch::Contains("the largest weight is"));
    CHECK((all_weights(run) == before));
    fill(run, "norm.weight", 1);
    CHECK(run.step(data.batch()).gradient_norm > 0);
    // One weight of 3e38 is enough: what squares it is infinite, and its row is 0.
    fill(run, "embedding.table", 3e38);
    std::string words;
    int steps = 0;
    while (words.empty() && ++steps <= 100) words = words_of([&] { run.step(data.batch()); });
    CHECK(steps <= in_fp32::most_vanished);
    CHECK_THAT(words, Catch::Contains("tensor embedding.table") || Catch::Contains("gradient norm of"));
}

TEST_CASE("weights that are not finite are refused by tensor and element, and nothing changes") {
    in_fp32 run;
    auto const before = all_weights(run);
    auto values = run.copy_of_weights("blocks.down.weight");
    for (double const bad : {not_a_number, infinity, -infinity}) {
        values[300] = static_cast<float>(bad);
        CHECK_THAT(words_of([&] { run.set_weights("blocks.down.weight", values); }),
                   Catch::Contains("tensor blocks.down.weight") && Catch::Contains("at element 300"));
    }
    CHECK((all_weights(run) == before));
}

TEST_CASE("a prompt that does not fit, or holds no token, is refused whatever is asked for") {
    in_fp32 run;
    auto const refused = [&](std::vector<std::int32_t> const& prompt,
                             generation_options const& options = {}) {
        return words_of([&] { run.generate(prompt, options); });
    };
    generation_options none;
    none.tokens = 0;
    std::vector<std::int32_t> const longer(9, 5), foreign{1, 2, 300}, far(40, 500);
    CHECK_THAT(refused(longer), Catch::Contains("a sequence of 9 tokens, expected 1 to 8"));
    CHECK_THAT(refused(longer, none), Catch::Contains("a sequence of 9 tokens"));
    CHECK_THAT(refused({}), Catch::Contains("a sequence of 0 tokens"));
    CHECK_THAT(refused(far), Catch::Contains("a sequence of 40 tokens"));
    CHECK_THAT(refused(foreign), Catch::Contains("token 300 at position 2 of the sequence") &&
                                     Catch::Contains("vocabulary of 300"));
    CHECK_THAT(refused({-1}, none), Catch::Contains("token -1 at position 0"));
    CHECK(run.generate(std::vector<std::int32_t>(8, 5)).size() == 1);
}

TEST_CASE("a number that generation cannot mean is refused by name") {
    in_fp32 run;
    std::vector<std::int32_t> const prompt{1, 2};
    auto const refused = [&](auto const& change) {
        generation_options options;
        options.tokens = 2;
        change(options);
        return words_of([&] { run.generate(prompt, options); });
    };
    for (double const t : {not_a_number, infinity, -1.0})
        CHECK_THAT(refused([=](auto& o) { o.temperature = t; }), Catch::Contains("temperature = "));
    CHECK_THAT(refused([](auto& o) { o.top_k = -3; }), Catch::Contains("top_k = -3"));
    CHECK_THAT(refused([](auto& o) { o.tokens = -1; }), Catch::Contains("tokens = -1"));
    CHECK_THAT(refused([](auto& o) { o.ends = {3, 300}; }), Catch::Contains("a token of ends = 300"));
    CHECK(refused([](auto& o) { o.temperature = 1e-300, o.top_k = 100000; }).empty());
    fill(run, "norm.weight", 3e38);
    fill(run, "head.weight", 3e38);
    CHECK_THAT(refused([](auto&) {}), Catch::Contains("a logit of"));
}

TEST_CASE("tokens whose keys something else has overwritten are computed again") {
    in_fp32 run, other;
    std::vector<std::int32_t> const sequence{1, 2, 3, 4, 5};
    auto const once = [](in_fp32& r, std::vector<std::int32_t> const& s, index_t known) {
        auto const logits = r.next_token_logits(s, known);
        return std::vector<float>(logits.begin(), logits.end());
    };
    auto const wanted = once(other, sequence, 0);
    once(run, {1, 2, 3, 4}, 0);
    CHECK(once(run, sequence, 4) == wanted);
    once(run, {1, 2}, 0);
    CHECK(once(run, sequence, 4) == wanted);  // only two are there
    once(run, {1, 2, 3, 4}, 0);
    run.evaluate(tokens().batch());
    CHECK(once(run, sequence, 4) == wanted);
    once(run, {1, 2, 3, 4}, 0);
    fill(run, "norm.weight", 2);
    fill(other, "norm.weight", 2);
    CHECK(once(run, sequence, 4) == once(other, sequence, 0));
}

TEST_CASE("a name that is no parameter's is refused with the closest ones") {
    in_fp32 run;
    CHECK_THROWS_WITH(run.copy_of_weights("blocks.qkv.wieght"),
                      Catch::Contains("no parameter called blocks.qkv.wieght") &&
                          Catch::Contains("the closest are blocks.qkv.weight"));
    CHECK_THROWS_WITH(run.copy_of_weights("?"), Catch::Contains("such as embedding.table"));
}

TEST_CASE("gradients of weights that were replaced are not applied to the new ones") {
    in_fp32 run;
    tokens const data;
    run.accumulate(data.batch());
    run.set_weights("norm.weight", run.copy_of_weights("norm.weight"));
    CHECK_THAT(words_of([&] { run.update({}); }), Catch::Contains("nothing was accumulated"));
    CHECK(run.steps() == 0);
}

TEST_CASE("an epsilon that is 0 in fp32 is refused") {
    in_fp32 run;
    tokens const data;
    for (double const epsilon : {1e-46, 0.0, -1.0, 1e39, not_a_number}) {
        run.options.optimizer.epsilon = epsilon;
        CHECK_THAT(words_of([&] { run.step(data.batch()); }), Catch::Contains("options.optimizer.epsilon"));
    }
}
