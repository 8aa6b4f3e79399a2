// SPDX-License-Identifier: Apache-2.0
// What PEFT computes when it fine-tunes tiny models, and what snug computes.
#include "../../reference/tiny.hpp"

#include <catch2/catch.hpp>
#include <cmath>
#include <cstring>
#include <snug/quantization/double_quantized.hpp>
#include <snug/quantization/nf4.hpp>
#include <snug/snug.hpp>
#include <string>
#include <vector>

namespace {

using namespace tiny;
using adapters::dora;
using adapters::lora;

using nf4 = quantization::nf4<64>;
using nf4_double = quantization::double_quantized<nf4>;

template <class Float, class Model, class... Policies>
using fine_tuning = trainer<Model, batch<2, 16>, precision::full<Float>,
                            optimizers::adamw<optimizers::states<Float>>, Policies...>;

/// Bounds, relative to a tensor's largest magnitude.
struct bounds {
    double logits, loss, gradient, later_gradient, final;
};
/// AdamW divides a gradient by its own size, so what rounding does to a small one stays in its weight: the longer the
/// run, the further two programs are apart. PEFT's own runs in fp32 and in fp64 end up to 1.2e-4 apart.
constexpr bounds in_fp32{1e-5, 1e-6, 1e-5, 2e-4, 1e-3};
/// The fixture holds losses in fp64; gradients and weights are rounded to fp32, a relative 6e-8.
constexpr bounds in_fp64{1e-12, 1e-12, 1e-7, 1e-7, 1e-7};

template <class Run>
constexpr bounds const& bounds_of = sizeof(typename Run::weight_type) == 8 ? in_fp64 : in_fp32;

/// Base weights of the fixture `base`, quantized where the run quantizes them; A and magnitude of the fixture
/// `adapter`, and B = 0.
template <class Run>
void load_initial_weights(Run& run, snug_test::fixture const& base, snug_test::fixture const& adapter) {
    using scheme = typename Run::composition::quantization;
    for_each_tensor<Run>([&](auto const& entry, snug::index_t copy, std::string const& name) {
        bool const in_base = base.tensors().count("initial." + name) > 0;
        if (!in_base && entry.name.view().ends_with("lora_B")) {
            for (auto& value : copy_of(run.weights(entry.name.view()), entry, copy)) value = 0;
            return;
        }
        auto const& values = (in_base ? base : adapter)["initial." + name].values;
        REQUIRE(static_cast<snug::index_t>(values.size()) == entry.count);
        if constexpr (quantization::quantization_scheme<scheme>)
            if (entry.is_quantized()) {
                std::vector<float> const floats(values.begin(), values.end());
                scheme::encode(floats, {entry.dimensions[0], entry.dimensions[1]},
                               run.stored(entry.name.view()).data() + copy * entry.stored_bytes,
                               quantization::serial_loop{});
                return;
            }
        auto const target = copy_of(run.weights(entry.name.view()), entry, copy);
        for (std::size_t i = 0; i < values.size(); ++i)
            target[i] = static_cast<typename Run::weight_type>(values[i]);
    });
    run.weights_changed();
}

template <class Run>
void check_gradients(Run& run, snug_test::fixture const& reference, std::string const& prefix, double bound) {
    for_each_trained_tensor<Run>([&](auto const& entry, snug::index_t copy, std::string const& name) {
        auto const& expected = reference[prefix + name].values;
        INFO(prefix << name);
        CHECK(difference(copy_of(run.gradients(entry.name.view()), entry, copy), expected.data(),
                         expected.size()) <= bound);
    });
}

template <class Run>
void compare(std::string const& base_name, std::string const& name) {
    auto const& bound = bounds_of<Run>;
    auto const base = fixture_named(base_name);
    auto const reference = fixture_named("adapter_" + name);
    Run run;
    run.options.learning_rate = schedule::constant(5e-3);
    load_initial_weights(run, base, reference);
    INFO(name << (sizeof(typename Run::weight_type) == 8 ? " in fp64" : " in fp32"));

    auto const& logits = reference["logits"].values;
    for (std::size_t sequence = 0; sequence < 2; ++sequence) {
        auto const tokens = integers(base["inputs"], sequence * 16, 16);
        for (std::size_t t = 0; t < 16; ++t) {
            auto const found = run.next_token_logits({tokens.data(), t + 1}, static_cast<snug::index_t>(t));
            INFO("logits of sequence " << sequence << ", position " << t);
            CHECK(difference(found, logits.data() + (sequence * 16 + t) * 97, 97) <= bound.logits);
        }
    }
    for (std::size_t step = 0; step < 20; ++step) {
        INFO("step " << step);
        auto const inputs = integers(base["inputs"], step * 32, 32);
        auto const targets = integers(base["targets"], step * 32, 32);
        auto result = run.accumulate({inputs, targets});
        if (step == 0) check_gradients(run, reference, "gradient.0.", bound.gradient);
        if (step == 5) check_gradients(run, reference, "gradient.5.", bound.later_gradient);
        result = run.update(result);
        CHECK(result.loss == Approx(reference["loss"].values[step]).epsilon(bound.loss));
        CHECK(result.gradient_norm ==
              Approx(reference["gradient_norm"].values[step]).epsilon(10 * bound.loss));
    }
    for_each_trained_tensor<Run>([&](auto const& entry, snug::index_t copy, std::string const& full_name) {
        auto const& expected = reference["final." + full_name].values;
        INFO("final " << full_name);
        CHECK(difference(copy_of(run.weights(entry.name.view()), entry, copy), expected.data(),
                         expected.size()) <= bound.final);
    });
    // What PEFT trains is what snug trains.
    snug::index_t trained = 0;
    for (auto const& [key, tensor] : reference.tensors())
        if (key.starts_with("final.")) trained += static_cast<snug::index_t>(tensor.values.size());
    CHECK(trained == trainable_parameter_count<Run>);
}

template <class Model, class... Policies>
void compare_both(std::string const& base, std::string const& name) {
    compare<fine_tuning<float, Model, Policies...>>(base, name);
    compare<fine_tuning<double, Model, Policies...>>(base, name);
}

}  // namespace

TEST_CASE("LoRA on some of the projections agrees with PEFT over 20 steps") {
    compare_both<llama, lora<rank<4>, alpha<8>, targets<"q_proj", "v_proj">>>("llama_tiny", "lora_q_v");
}
TEST_CASE("LoRA on all linear layers agrees with PEFT over 20 steps") {
    compare_both<llama, lora<rank<4>, alpha<8>>>("llama_tiny", "lora_all");
    compare_both<gpt2, lora<rank<4>, alpha<8>>>("gpt2_tiny", "lora_gpt2");
}
TEST_CASE("rank-stabilized LoRA with trained norms agrees with PEFT over 20 steps") {
    compare_both<llama, lora<rank<4>, alpha<8>, rank_stabilized, also_train<norms>>>("llama_tiny",
                                                                                     "rslora_norms");
}
TEST_CASE("LoRA with a trained embedding and tied head agrees with PEFT over 20 steps") {
    compare_both<llama_tied, lora<rank<4>, alpha<8>, targets<"o_proj", "up_proj">, also_train<embeddings>>>(
        "llama_tiny_tied", "lora_embeddings");
}
TEST_CASE("DoRA agrees with PEFT over 20 steps") {
    compare_both<llama, dora<rank<4>, alpha<8>>>("llama_tiny", "dora_all");
    compare_both<gpt2, dora<rank<4>, alpha<8>, targets<"c_attn", "c_proj">>>("gpt2_tiny", "dora_gpt2");
}
TEST_CASE("LoRA over NF4 weights agrees with PEFT over bitsandbytes' values over 20 steps") {
    compare_both<llama, lora<rank<4>, alpha<8>>, nf4>("llama_tiny", "qlora_nf4");
    compare_both<llama, lora<rank<4>, alpha<8>>, nf4_double>("llama_tiny", "qlora_double");
}
TEST_CASE("DoRA over NF4 weights agrees with PEFT over bitsandbytes' values over 20 steps") {
    compare_both<llama, dora<rank<4>, alpha<8>, targets<"q_proj", "v_proj", "down_proj">>, nf4>("llama_tiny",
                                                                                                "qdora_nf4");
}
