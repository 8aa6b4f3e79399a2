// SPDX-License-Identifier: Apache-2.0
// What each precision does to training.
#include <catch2/catch.hpp>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <limits>
#include <snug/snug.hpp>
#include <vector>

namespace {

using namespace snug;
using tiny = models::gpt2<layers<2>, heads<2>, width<32>, vocabulary<61>, context<16>>;

struct tokens {
    std::vector<std::int32_t> inputs, targets;
    explicit tokens(std::uint64_t seed) {
        // A rule that can be learned: the target follows from the input.
        for (std::size_t i = 0; i < 64; ++i) {
            inputs.push_back(static_cast<std::int32_t>(random::bits(seed, 0, i) % 61));
            targets.push_back((inputs.back() * 7 + 3) % 61);
        }
    }
    token_batch batch() const { return {inputs, targets}; }
};

template <class Precision>
using run_in = trainer<tiny, batch<4, 16>, Precision>;

template <class Precision>
double loss_after(int steps) {
    run_in<Precision> run;
    run.options.learning_rate = schedule::constant(3e-3);
    double loss = 0;
    for (int i = 0; i < steps; ++i) loss = run.step(tokens(static_cast<std::uint64_t>(i)).batch()).loss;
    return loss;
}

}  // namespace

TEST_CASE("every precision learns") {
    auto const reference = loss_after<precision::full<fp32>>(150);
    CHECK(reference < 1.0);
    CHECK(loss_after<precision::mixed<bf16>>(150) == Approx(reference).margin(0.1));
    CHECK(loss_after<precision::mixed<fp16>>(150) == Approx(reference).margin(0.1));
    CHECK(loss_after<precision::pure<bf16>>(150) == Approx(reference).margin(0.4));
}

TEST_CASE("each precision changes the bill as it should") {
    constexpr auto count = parameter_count<tiny>;
    constexpr auto full = footprint<run_in<precision::full<fp32>>>;
    constexpr auto mixed = footprint<run_in<precision::mixed<fp16>>>;
    constexpr auto pure = footprint<run_in<precision::pure<bf16>>>;
    STATIC_REQUIRE(full.weights.count == 4 * count);
    STATIC_REQUIRE(mixed.weights.count == 2 * count);
    STATIC_REQUIRE(mixed.master_weights.count == 4 * count);
    STATIC_REQUIRE(pure.weights.count == 2 * count);
    STATIC_REQUIRE(pure.master_weights.count == 0);
    STATIC_REQUIRE(pure.gradients.count == 2 * count);
}

TEST_CASE("an overflow under a loss scale halves it, changes nothing, and training goes on") {
    run_in<precision::mixed<fp16>> run;
    run.options.learning_rate = schedule::constant(1e-3);
    REQUIRE(run.current_loss_scale() == 65536);
    // Logits large enough that scaled gradients leave fp16's range.
    auto const table = run.weights("embedding.table");
    std::vector<fp16> const before(table.begin(), table.end());
    for (auto& w : table) w = fp16(static_cast<float>(w) * 20000.0f);
    run.weights_changed();
    std::vector<fp16> const scaled(table.begin(), table.end());
    int skipped = 0;
    for (int i = 0; i < 40; ++i) {
        auto const result = run.step(tokens(1).batch());
        if (!result.skipped) break;
        ++skipped;
        CHECK(run.current_loss_scale() == std::ldexp(65536.0, -skipped));
        CHECK(run.steps() == 0);
        for (std::size_t j = 0; j < table.size(); ++j) REQUIRE(table[j].bits == scaled[j].bits);
    }
    CHECK(skipped > 0);
    CHECK(run.steps() == 1);
}

TEST_CASE("the loss scale is part of a snapshot") {
    auto const path = (std::filesystem::temp_directory_path() / "snug-loss-scale.snapshot").string();
    run_in<precision::mixed<fp16>> run;
    auto const table = run.weights("embedding.table");
    auto const good = table[0];
    table[0] = fp16(std::numeric_limits<float>::infinity());  // the master copy does not follow
    auto data = tokens(1);
    data.inputs[0] = 0;
    REQUIRE(run.step(data.batch()).skipped);
    table[0] = good;
    run.step(tokens(2).batch());
    run.save(path);
    run_in<precision::mixed<fp16>> resumed(9);
    resumed.resume(path);
    CHECK(resumed.current_loss_scale() == 32768);
    CHECK(resumed.steps() == 1);
    std::remove(path.c_str());
}

TEST_CASE("a gradient that is not finite is refused and changes nothing") {
    run_in<precision::full<fp32>> run;
    auto const table = run.weights("embedding.table");
    auto const good = table[5];
    table[5] = std::numeric_limits<float>::quiet_NaN();
    auto data = tokens(1);
    data.inputs[0] = 5;
    auto const other = table[77];
    CHECK_THROWS_WITH(run.step(data.batch()),
                      Catch::Contains("tensor embedding.table: found a gradient norm of") &&
                          Catch::Contains("weights are unchanged"));
    CHECK(table[77] == other);
    CHECK(run.steps() == 0);
    table[5] = good;
    CHECK(std::isfinite(run.step(data.batch()).gradient_norm));  // nothing of the refused step is left
}

TEST_CASE("pure bf16 is the same at any time: rounding is drawn from step, tensor and element") {
    CHECK(loss_after<precision::pure<bf16>>(5) == loss_after<precision::pure<bf16>>(5));
}
