// SPDX-License-Identifier: Apache-2.0
// mixed<bf16> against full<fp32> on the same weights and data, within what bf16's rounding allows.
//
// A bf16 number has 8 significant bits: storing x gives x (1 + d) with |d| <= u = 2^-8. Sums, statistics, master weights
// and parameter gradients are fp32, whose own rounding is nothing beside that, so the roundings to count are the stores
// of activations on the longest way from a token to its logits:
//
//     embedding 1, final norm 1, logits 1, and in each block
//     norm, qkv, (rotated queries and keys), probabilities, attention, projection + residual,
//     norm, up, activation, down + residual: 9, with rotary positions 10;
//
// n = 3 + 9 L for GPT-2, 3 + 10 L for Llama. Backward stores as many gradients again: m = 2 n on the longest way to a
// parameter's gradient. Errors of different roundings are independent and have mean zero, so that the root mean square of
// n of them is at most sqrt(n) u and not n u (Higham and Mary, "A New Approach to Probabilistic Rounding Error Analysis",
// SIAM J. Sci. Comput. 41(5), 2019). With layers that pass on a relative error without making it larger, which holds for
// norms and for products with random weights:
//
//     |gradient - gradient32| <= sqrt(2 n) u |gradient32|    2-norm of each tensor, and the same for the global norm
//     |loss - loss32| <= sqrt(2) sqrt(n) u r                 r: root mean square of the logits; the derivative of a token's
//                                                            loss by its logits, p - onehot, has a 2-norm <= sqrt(2)
//
// Over several steps weights are rounded as well: one more for each product and for the embedding, 4 L + 2.
#include "exact/guarded.hpp"

#include <catch2/catch.hpp>
#include <cmath>
#include <snug/snug.hpp>
#include <string>
#include <vector>

#include <omp.h>

namespace {

using namespace snug;

// Tiny runs: a second thread would only be waited for.
[[maybe_unused]] bool const one_thread = (omp_set_num_threads(1), true);

using gpt2 = models::gpt2<layers<2>, heads<2>, width<32>, vocabulary<61>, context<16>>;
using llama =
    models::llama<layers<2>, heads<4>, kv_heads<2>, width<32>, mlp<48>, vocabulary<61>, context<16>>;
template <class Model>
using full = trainer<Model, batch<4, 16>>;
template <class Model>
using mixed = trainer<Model, batch<4, 16>, precision::mixed<bf16>>;

constexpr double u = 0x1p-8;
constexpr double blocks = 2;
template <class Model>
constexpr double roundings = 3 + (std::is_same_v<Model, llama> ? 10 : 9) * blocks;
constexpr double weight_roundings = 4 * blocks + 2;

/// A text that can be learnt: the target follows from the token.
struct lesson {
    std::vector<std::int32_t> inputs, targets;
    explicit lesson(int step) {
        for (std::uint64_t i = 0; i < 64; ++i) {
            inputs.push_back(
                static_cast<std::int32_t>(random::bits(static_cast<std::uint64_t>(step), 0, i) % 61));
            targets.push_back((inputs.back() * 7 + 3) % 61);
        }
    }
    token_batch batch() const { return {inputs, targets}; }
};

/// The same weights for both, larger than those of a new model: logits of the size of a trained one's.
template <class Model>
void give_weights(full<Model>& exact, mixed<Model>& rounded) {
    std::uint64_t stream = 0;
    for (auto const& entry : full<Model>::composition::parameter_table.entries) {
        auto const wide = exact.weights(entry.name.view());
        auto const narrow = rounded.weights(entry.name.view());
        for (std::size_t i = 0; i < wide.size(); ++i) {
            auto const noise = 0.15 * random::normal<double>(3, stream, i);
            narrow[i] =
                bf16(static_cast<float>(entry.is_matrix() ? noise : static_cast<double>(wide[i]) + noise));
            wide[i] = narrow[i];
        }
        ++stream;
    }
    rounded.weights_changed();
}

template <class Model>
double root_mean_square_of_logits(full<Model>& run, lesson const& text) {
    double squares = 0;
    for (std::size_t i = 0; i < 16; ++i)
        for (auto const z : run.next_token_logits(std::span(text.inputs).first(i + 1)))
            squares += static_cast<double>(z) * static_cast<double>(z);
    return std::sqrt(squares / (16 * 61));
}

template <class Model>
void check_one_step() {
    full<Model> exact;
    mixed<Model> rounded;
    give_weights(exact, rounded);
    lesson const text(0);
    auto const r = root_mean_square_of_logits(exact, text);
    CHECK(r > 0.5);

    auto const wanted = exact.accumulate(text.batch());
    auto const found = rounded.accumulate(text.batch());
    CHECK(std::abs(found.loss - wanted.loss) <= std::sqrt(2 * roundings<Model>) * u * r);
    CHECK(found.loss != wanted.loss);

    double const bound = std::sqrt(2 * roundings<Model>) * u;
    for (auto const& entry : full<Model>::composition::parameter_table.entries) {
        auto const g = exact.gradients(entry.name.view());
        auto const h = rounded.gradients(entry.name.view());
        double apart = 0, size = 0;
        for (std::size_t i = 0; i < g.size(); ++i) {
            auto const difference = static_cast<double>(h[i]) - static_cast<double>(g[i]);
            apart += difference * difference;
            size += static_cast<double>(g[i]) * static_cast<double>(g[i]);
        }
        INFO("gradient of " << entry.name.view() << ", off by " << std::sqrt(apart / size) << " of its norm");
        CHECK(size > 0);
        CHECK(std::sqrt(apart / size) <= bound);
    }
    CHECK(rounded.update(found).gradient_norm == Approx(exact.update(wanted).gradient_norm).epsilon(bound));
}

template <class Model>
void check_curve() {
    full<Model> exact;
    mixed<Model> rounded;
    give_weights(exact, rounded);
    exact.options.learning_rate = rounded.options.learning_rate = schedule::constant(3e-3);
    auto const r = root_mean_square_of_logits(exact, lesson(0));
    auto const bound = std::sqrt(2 * (roundings<Model> + weight_roundings)) * u * r;
    double first = 0, last = 0;
    for (int step = 0; step < 20; ++step) {
        lesson const text(step);
        auto const wanted = exact.step(text.batch());
        auto const found = rounded.step(text.batch());
        INFO("step " << step);
        CHECK(std::abs(found.loss - wanted.loss) <= bound);
        if (step == 0) first = wanted.loss;
        last = wanted.loss;
    }
    CHECK(last < first - 10 * bound);  // the curve goes somewhere
}

}  // namespace

TEST_CASE("loss and gradients of mixed bf16 are those of fp32 within bf16's rounding") {
    check_one_step<gpt2>();
    check_one_step<llama>();
}

TEST_CASE("20 losses of mixed bf16 stay within bf16's rounding of those of fp32") {
    check_curve<gpt2>();
    check_curve<llama>();
}

TEST_CASE("weights are the rounded master weights, before and after every step") {
    using composition = mixed<llama>::composition;
    mixed<llama> run;
    run.options.learning_rate = schedule::constant(1e-4);
    for (int step = 0; step <= 5; ++step) {
        int wrong = 0, between = 0;
        for (int p = 0; p < composition::parameters; ++p) {
            auto const weights = run.store().weights(p);
            auto const masters = run.store().masters(p);
            REQUIRE(masters.size() == weights.size());
            for (std::size_t i = 0; i < weights.size(); ++i) {
                wrong += weights[i].bits != bf16(masters[i]).bits;
                between += static_cast<float>(weights[i]) != masters[i];
            }
        }
        INFO("step " << step);
        CHECK(wrong == 0);
        CHECK(between > 0);
        run.step(lesson(step).batch());
    }
}
