// SPDX-License-Identifier: Apache-2.0
// What PyTorch computes for tiny models, and what snug computes.
#pragma once

#include "../reference/tiny.hpp"
#include "place.hpp"

#include <catch2/catch.hpp>
#include <cmath>
#include <string>
#include <vector>

namespace {

using tiny::gpt2, tiny::llama, tiny::llama_tied, tiny::integers;

template <class Model, class Float>
using trainer = snug_test::placed<Model, snug::batch<2, 16>, snug::precision::full<Float>,
                                  snug::optimizers::adamw<snug::optimizers::states<Float>>>;

template <class Run, class F>
void for_each_tensor(F&& f) {
    for (auto const& entry : Run::composition::parameter_table.entries)
        for (snug::index_t copy = 0; copy < entry.copies; ++copy) f(entry, copy);
}

template <class Run>
void load_initial_weights(Run& run, snug_test::fixture const& reference) {
    for (auto const& entry : Run::composition::parameter_table.entries) {
        std::vector<typename Run::weight_type> weights;
        for (snug::index_t copy = 0; copy < entry.copies; ++copy)
            for (auto const value : reference["initial." + entry.full_name(copy)].values)
                weights.push_back(static_cast<typename Run::weight_type>(value));
        run.set_weights(entry.name.view(), weights);
    }
}

/// Largest difference relative to the largest magnitude of the reference.
template <class Values>
double difference(Values const& found, double const* expected, std::size_t count) {
    double largest = 0, apart = 0;
    for (std::size_t i = 0; i < count; ++i) {
        largest = std::max(largest, std::abs(expected[i]));
        apart = std::max(apart, std::abs(static_cast<double>(found[i]) - expected[i]));
    }
    return apart / largest;
}

template <class Run>
void compare(std::string const& name, double logits_bound, double loss_bound, double gradient_bound,
             double final_bound) {
    auto const reference = tiny::fixture_named(name);
    Run run;
    run.options.learning_rate = snug::schedule::constant(1e-3);
    load_initial_weights(run, reference);

    auto const& logits = reference["logits"].values;
    for (std::size_t sequence = 0; sequence < 2; ++sequence) {
        auto const tokens = integers(reference["inputs"], sequence * 16, 16);
        for (std::size_t t = 0; t < 16; ++t) {
            auto const found = run.next_token_logits({tokens.data(), t + 1}, static_cast<snug::index_t>(t));
            INFO(name << ": logits of sequence " << sequence << ", position " << t);
            CHECK(difference(found, logits.data() + (sequence * 16 + t) * 97, 97) <= logits_bound);
        }
    }
    for (std::size_t step = 0; step < 20; ++step) {
        auto const inputs = integers(reference["inputs"], step * 32, 32);
        auto const targets = integers(reference["targets"], step * 32, 32);
        auto result = run.accumulate({inputs, targets});
        if (step == 0)
            for_each_tensor<Run>([&](auto const& entry, snug::index_t copy) {
                auto const full_name = entry.full_name(copy);
                auto const& expected = reference["gradient." + full_name].values;
                INFO(name << ": gradient of " << full_name);
                auto const found = run.copy_of_gradients(entry.name.view());
                CHECK(difference(std::span(found).subspan(static_cast<std::size_t>(copy * entry.count)),
                                 expected.data(), expected.size()) <= gradient_bound);
            });
        result = run.update(result);
        INFO(name << ": step " << step);
        CHECK(result.loss == Approx(reference["loss"].values[step]).epsilon(loss_bound));
        CHECK(result.gradient_norm ==
              Approx(reference["gradient_norm"].values[step]).epsilon(10 * loss_bound));
    }
    for_each_tensor<Run>([&](auto const& entry, snug::index_t copy) {
        auto const full_name = entry.full_name(copy);
        auto const& expected = reference["final." + full_name].values;
        // In fp32 the key's bias ends as noise: its gradient is zero but for rounding (README of the fixtures).
        if (sizeof(typename Run::weight_type) == 4 && full_name.find("qkv.bias") != std::string::npos) return;
        INFO(name << ": final " << full_name);
        auto const found = run.copy_of_weights(entry.name.view());
        CHECK(difference(std::span(found).subspan(static_cast<std::size_t>(copy * entry.count)),
                         expected.data(), expected.size()) <= final_bound);
    });
}

}  // namespace

TEST_CASE("GPT-2 agrees with PyTorch over 20 steps in fp32") {
    compare<trainer<gpt2, float>>("gpt2_tiny", 1e-5, 1e-6, 1e-5, 1e-3);
}
TEST_CASE("GPT-2 agrees with PyTorch over 20 steps in fp64") {
    compare<trainer<gpt2, double>>("gpt2_tiny", 1e-12, 1e-12, 2e-7, 2e-7);
}
TEST_CASE("Llama agrees with PyTorch over 20 steps in fp32") {
    compare<trainer<llama, float>>("llama_tiny", 1e-5, 1e-6, 1e-5, 1e-3);
}
TEST_CASE("Llama agrees with PyTorch over 20 steps in fp64") {
    compare<trainer<llama, double>>("llama_tiny", 1e-12, 1e-12, 2e-7, 2e-7);
}
TEST_CASE("Llama with a tied head agrees with PyTorch over 20 steps in fp32") {
    compare<trainer<llama_tied, float>>("llama_tiny_tied", 1e-5, 1e-6, 1e-5, 1e-3);
}
