// SPDX-License-Identifier: Apache-2.0
// A trainer over frozen, quantized weights.
#include <catch2/catch.hpp>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <snug/quantization/double_quantized.hpp>
#include <snug/quantization/fp4.hpp>
#include <snug/quantization/int8.hpp>
#include <snug/quantization/nf4.hpp>
#include <snug/snug.hpp>
#include <vector>

namespace {

using namespace snug;
using gpt2 = models::gpt2<layers<3>, heads<2>, width<32>, vocabulary<61>, context<16>>;
using llama =
    models::llama<layers<3>, heads<4>, kv_heads<2>, width<32>, mlp<48>, vocabulary<61>, context<16>>;
using nf4_double = quantization::double_quantized<quantization::nf4<64>>;

struct tokens {
    std::vector<std::int32_t> inputs, targets;
    explicit tokens(std::uint64_t seed) {
        for (std::size_t i = 0; i < 64; ++i) {
            inputs.push_back(static_cast<std::int32_t>(random::bits(seed, 0, i) % 61));
            targets.push_back((inputs.back() * 7 + 3) % 61);
        }
    }
    token_batch batch() const { return {inputs, targets}; }
};

/// The same model with the frozen weights as ordinary ones: decoded, trained with learning rate 0 where frozen.
template <class Scheme, class Model, class Precision>
void agrees_with_the_decoded_model(double bound) {
    trainer<Model, batch<4, 16>, Precision, Scheme> frozen;
    trainer<Model, batch<4, 16>, Precision> plain;
    using composition = typename decltype(frozen)::composition;
    int frozen_parameters = 0;
    for (auto const& entry : composition::parameter_table.entries) {
        if (entry.is_trained()) continue;
        ++frozen_parameters;
        auto const bytes = frozen.stored(entry.name.view());
        auto const weights = plain.weights(entry.name.view());
        quantization::shape const extent{entry.dimensions[0], entry.dimensions[1]};
        for (snug::index_t copy = 0; copy < entry.copies; ++copy) {
            std::vector<float> values(static_cast<std::size_t>(entry.count));
            auto const view = Scheme::view_of(bytes.data() + copy * entry.stored_bytes, extent);
            Scheme::decode(view, 0, entry.count, values.data());
            for (snug::index_t i = 0; i < entry.count; ++i)
                weights[static_cast<std::size_t>(copy * entry.count + i)] =
                    static_cast<typename decltype(plain)::weight_type>(values[static_cast<std::size_t>(i)]);
        }
    }
    CHECK(frozen_parameters == 4);
    plain.weights_changed();
    tokens const data(1);
    auto const a = frozen.accumulate(data.batch());
    auto const b = plain.accumulate(data.batch());
    CHECK(a.loss == Approx(b.loss).epsilon(bound));
    for (auto const& entry : composition::parameter_table.entries) {
        if (!entry.is_trained()) continue;
        auto const found = frozen.gradients(entry.name.view());
        auto const expected = plain.gradients(entry.name.view());
        double largest = 0, apart = 0;
        for (std::size_t i = 0; i < found.size(); ++i) {
            largest = std::max(largest, std::abs(static_cast<double>(expected[i])));
            apart =
                std::max(apart, std::abs(static_cast<double>(found[i]) - static_cast<double>(expected[i])));
        }
        INFO(entry.name.view());
        CHECK(apart <= bound * largest);
    }
}

}  // namespace

TEST_CASE("products with quantized weights are the products with the decoded weights, forward and backward") {
    agrees_with_the_decoded_model<quantization::nf4<64>, gpt2, precision::full<fp32>>(1e-6);
    agrees_with_the_decoded_model<nf4_double, llama, precision::full<fp32>>(1e-6);
    agrees_with_the_decoded_model<quantization::int8<256>, gpt2, precision::full<fp32>>(1e-6);
    // In bf16 both decode to the same bf16 values: equal again, not only close.
    agrees_with_the_decoded_model<nf4_double, llama, precision::mixed<bf16>>(1e-6);
    agrees_with_the_decoded_model<quantization::fp4<64>, gpt2, precision::mixed<bf16>>(1e-6);
}

TEST_CASE("what is frozen does not move, and what is trained on top learns") {
    trainer<gpt2, batch<4, 16>, precision::mixed<bf16>, nf4_double, checkpointing::every_block> run;
    run.options.learning_rate = schedule::constant(3e-3);
    std::vector<std::byte> before;
    for (auto name : {"blocks.qkv.weight", "blocks.down.weight"})
        before.insert(before.end(), run.stored(name).begin(), run.stored(name).end());
    auto const norm = run.weights("norm.weight")[0];
    double const first = run.step(tokens(0).batch()).loss;
    double last = 0;
    for (std::uint64_t i = 1; i < 100; ++i) last = run.step(tokens(i).batch()).loss;
    CHECK(last < 0.6 * first);
    std::vector<std::byte> after;
    for (auto name : {"blocks.qkv.weight", "blocks.down.weight"})
        after.insert(after.end(), run.stored(name).begin(), run.stored(name).end());
    CHECK(after == before);
    CHECK(static_cast<float>(run.weights("norm.weight")[0]) != static_cast<float>(norm));
}

TEST_CASE("a snapshot carries the quantized weights") {
    using run_type = trainer<gpt2, batch<4, 16>, quantization::nf4<64>>;
    auto const path = (std::filesystem::temp_directory_path() / "snug-frozen.snapshot").string();
    run_type run;
    run.step(tokens(1).batch());
    run.save(path);
    run_type other(77);
    auto const mine = run.stored("blocks.up.weight");
    auto const theirs = other.stored("blocks.up.weight");
    CHECK(!std::equal(mine.begin(), mine.end(), theirs.begin()));
    other.resume(path);
    CHECK(std::equal(mine.begin(), mine.end(), theirs.begin()));
    CHECK(run.step(tokens(2).batch()).loss == other.step(tokens(2).batch()).loss);
    // Same size, other meaning.
    trainer<gpt2, batch<4, 16>, quantization::fp4<64>> stranger;
    CHECK_THROWS_AS(stranger.resume(path), error);
    std::remove(path.c_str());
}

TEST_CASE("frozen weights have no gradient and no optimizer state, and no decoded copy exists") {
    using frozen = trainer<gpt2, batch<4, 16>, quantization::nf4<64>>;
    using plain = trainer<gpt2, batch<4, 16>>;
    constexpr snug::index_t in_linears = 3 * (96 * 32 + 32 * 32 + 128 * 32 + 32 * 128);
    STATIC_REQUIRE(trainable_parameter_count<frozen> == trainable_parameter_count<plain> - in_linears);
    STATIC_REQUIRE(parameter_count<typename frozen::composition::model> == parameter_count<gpt2>);
    STATIC_REQUIRE(footprint<frozen>.gradients.count == 4 * trainable_parameter_count<frozen>);
    STATIC_REQUIRE(footprint<frozen>.optimizer_state.count == 8 * trainable_parameter_count<frozen>);
    STATIC_REQUIRE(footprint<frozen>.weights.count <=
                   4 * trainable_parameter_count<frozen> + in_linears * 9 / 16 + 12 * 64);
}
