// SPDX-License-Identifier: Apache-2.0
// Lion against its formula, and with states of every type.
#include <catch2/catch.hpp>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <limits>
#include <snug/snug.hpp>
#include <vector>

namespace {

using namespace snug;
using optimizers::lion;
using optimizers::paged;
using optimizers::states;

// The MLP's matrices keep states in blocks, the norms do not.
using model =
    models::llama<layers<2>, heads<4>, kv_heads<2>, width<64>, mlp<131>, vocabulary<97>, context<16>>;
template <class... Policies>
using trainer_with = trainer<model, batch<2, 16>, Policies...>;
using in_16_bits =
    trainer<model, batch<1, 16>, lion<states<bf16>>, precision::mixed<bf16>, accumulation::micro_batches<2>>;
constexpr auto count = parameter_count<model>;

static_assert(footprint<trainer_with<lion<>>>.optimizer_state == 4_B * count);
static_assert(footprint<trainer_with<lion<states<bf16>>>>.optimizer_state == 2_B * count);
static_assert(footprint<trainer_with<lion<states<snug::int8>>>>.optimizer_state < 1_B * (count + count / 20));
static_assert(2 * footprint<trainer_with<lion<>>>.optimizer_state.count ==
              footprint<trainer_with<>>.optimizer_state.count);

struct tokens {
    std::vector<std::int32_t> inputs, targets;
    explicit tokens(int step = 0) {
        for (std::int32_t i = 0; i < 32; ++i) {
            inputs.push_back((i + step) * 7 % 97);
            targets.push_back((i + step + 1) * 7 % 97);
        }
    }
    token_batch batch() const { return {inputs, targets}; }
};

template <class Trainer>
std::vector<double> losses(Trainer& run, int steps) {
    run.options.learning_rate = schedule::constant(3e-4);
    std::vector<double> result;
    for (int i = 0; i < steps; ++i) result.push_back(run.step(tokens().batch()).loss);
    return result;
}
template <class Trainer>
std::vector<double> losses_of(int steps) {
    Trainer run;
    return losses(run, steps);
}

}  // namespace

TEST_CASE("twenty steps of Lion are those of its formula") {
    using run_type = trainer_with<lion<>>;
    constexpr double beta1 = 0.9, beta2 = 0.99, rate = 1e-3, decay = 0.3;
    run_type run;
    run.options.learning_rate = schedule::constant(rate);
    run.options.weight_decay = decay;
    run.options.largest_gradient_norm = 0;
    CHECK(run.options.optimizer.beta1 == beta1);
    CHECK(run.options.optimizer.beta2 == beta2);
    std::vector<std::vector<double>> weights, momenta;
    for (auto const& entry : parameters<run_type>) {
        auto const values = run.copy_of_weights(entry.name.view());
        weights.emplace_back(values.begin(), values.end());
        momenta.emplace_back(values.size(), 0.0);
    }
    std::size_t unsure = 0, still = 0;
    for (int step = 0; step < 20; ++step) {
        auto const result = run.accumulate(tokens(step).batch());
        std::vector<std::vector<float>> gradients;
        for (auto const& entry : parameters<run_type>)
            gradients.push_back(run.copy_of_gradients(entry.name.view()));
        run.update(result);
        double largest = 0;
        for (std::size_t p = 0; p < gradients.size(); ++p) {
            auto const& entry = parameters<run_type>[p];
            auto const found = run.copy_of_weights(entry.name.view());
            for (std::size_t i = 0; i < found.size(); ++i) {
                double const g = gradients[p][i];
                double& m = momenta[p][i];
                double& w = weights[p][i];
                double const direction = beta1 * m + (1 - beta1) * g;
                double const size = beta1 * std::abs(m) + (1 - beta1) * std::abs(g);
                double const sign = direction > 0 ? 1 : direction < 0 ? -1 : 0;
                still += sign == 0;
                w = w * (1 - (entry.is_matrix() ? rate * decay : 0)) - rate * sign;
                m = beta2 * m + (1 - beta2) * g;
                // Rounding decides.
                if (size > 0 && std::abs(direction) < 1e-5 * size) {
                    ++unsure;
                    w = found[i];
                }
                largest = std::max(largest, std::abs(found[i] - w));
            }
        }
        INFO("step " << step);
        CHECK(largest <= 1e-6);
    }
    CHECK(unsure < 20);
    CHECK(still > 0);  // rows of tokens that have not come yet
}

TEST_CASE("Lion trains with states of every type, also paged, under masters and accumulation") {
    auto const exact = losses_of<trainer_with<lion<>>>(30);
    CHECK(exact.back() < 0.7 * exact.front());
    auto const blocks = losses_of<trainer_with<lion<states<snug::int8>>>>(30);
    CHECK(blocks != exact);
    CHECK(blocks.back() == Approx(exact.back()).epsilon(0.1));
    CHECK(losses_of<trainer_with<paged<lion<states<snug::int8>>>>>(30) == blocks);
    CHECK(losses_of<in_16_bits>(30).back() == Approx(exact.back()).epsilon(0.1));
}

TEST_CASE("a run with Lion resumes to the same bits, and not as AdamW or with other states") {
    auto const path = (std::filesystem::temp_directory_path() / "snug_lion.snapshot").string();
    using run_type = trainer_with<lion<>>;
    run_type run;
    CHECK(run.allocated() == footprint<run_type>.total);
    losses(run, 3);
    run.save(path);
    auto const expected = losses(run, 3);
    run_type same(9);
    same.resume(path);
    CHECK(losses(same, 3) == expected);
    trainer_with<lion<states<snug::int8>>> other;
    CHECK_THROWS_WITH(other.resume(path), Catch::Contains("int8<256>"));
    trainer_with<> adam;
    CHECK_THROWS_WITH(adam.resume(path), Catch::Contains("lion_step") && Catch::Contains("adamw_step"));
    std::remove(path.c_str());
}

TEST_CASE("numbers that Lion cannot mean are refused by name") {
    trainer_with<lion<>> run;
    for (double const beta : {-0.1, 1.0, std::numeric_limits<double>::quiet_NaN()}) {
        run.options.optimizer = {beta, 0.99};
        CHECK_THROWS_WITH(run.step(tokens().batch()), Catch::Contains("options.optimizer.beta1"));
        run.options.optimizer = {0.9, beta};
        CHECK_THROWS_WITH(run.step(tokens().batch()), Catch::Contains("options.optimizer.beta2"));
    }
    CHECK(run.steps() == 0);
}
