// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <catch2/catch.hpp>
#include <cstddef>
#include <cstdlib>
#include <map>
#include <memory>
#include <snug/io/gguf.hpp>
#include <snug/io/safetensors.hpp>
#include <snug/snug.hpp>
#include <string>
#include <utility>
#include <vector>

#include "../../reference/tiny.hpp"
#include "../io/faults.hpp"

/// What the tests of a family share: what transformers and PEFT make of tiny models of it is in tests/reference, made
/// and opened again by make_family_fixtures.py.
namespace {

using namespace snug;
using Catch::Matchers::Contains;
using snug::index_t;

template <class Model, class... Policies>
using fine_tuning = trainer<Model, batch<2, 24>, optimizers::sgd<>, Policies...>;

constexpr double near = 1e-5;
#if defined(__OPTIMIZE__) && defined(__AVX512F__)
constexpr double near_gradient = 1e-5;
#else
/// The fewer elements a vector has, the longer are the sums that each of them takes, and five steps carry their rounding on:
/// 1.3e-5 of the weight of a norm of keys, in the fifth step, with vectors of 8.
constexpr double near_gradient = 2e-5;
#endif

/// A folder for what a test writes: FAMILY of SNUG_MODELS_TO, which keeps it, or one that goes again.
class output_folder {
  public:
    explicit output_folder(std::string family) : family_(std::move(family)) {}
    std::string operator/(std::string const& name) const {
        auto const* const wanted = std::getenv("SNUG_MODELS_TO");
        auto const path =
            wanted != nullptr ? std::string(wanted) + "/" + family_ + "/" + name : scratch_ / name;
        std::filesystem::create_directories(std::filesystem::path(path).parent_path());
        return path;
    }

  private:
    std::string family_;
    test::scratch scratch_;
};

/// `text` with something else in it.
inline void replace(std::string& text, std::string const& from, std::string const& to) {
    auto const at = text.find(from);
    REQUIRE(at != std::string::npos);
    text.replace(at, from.size(), to);
}

/// The files of a family.
class family_files {
  public:
    explicit family_files(std::string const& family)
        : name(family), folder(SNUG_TEST_DATA "/" + name + "/"), reference(folder + name + ".fixture") {}

    std::string const name;
    std::string const folder;
    snug_test::fixture const reference;

    std::string operator/(std::string const& file) const { return folder + file; }
    io::safetensors weights(std::string const& model) const { return io::safetensors(folder + model); }

    /// After every token of the first sequence.
    template <class Run>
    std::vector<double> logits_of(Run& run) const {
        auto const tokens = tiny::integers(reference["inputs"], 0, 24);
        std::vector<double> all;
        for (std::size_t t = 0; t < tokens.size(); ++t) {
            auto const found = run.next_token_logits({tokens.data(), t + 1});
            all.insert(all.end(), found.begin(), found.end());
        }
        return all;
    }

    /// From those of the fixture, against the largest.
    double apart(std::vector<double> const& found, std::string const& of) const {
        auto const& expected = reference[of + ".logits"].values;
        REQUIRE(found.size() == expected.size());
        return tiny::difference(found, expected.data(), expected.size());
    }

    /// Losses, norms and gradients of five steps are those of the fixture.
    template <class Run>
    void check_training(Run& run) const {
        run.options.learning_rate = schedule::constant(0.05);
        run.options.weight_decay = 0;
        for (std::size_t step = 0; step < 5; ++step) {
            INFO("step " << step);
            auto const inputs = tiny::integers(reference["inputs"], step * 48, 48);
            auto const targets = tiny::integers(reference["targets"], step * 48, 48);
            auto result = run.accumulate({inputs, targets});
            tiny::for_each_trained_tensor<Run>([&](auto const& entry, index_t copy, std::string const& of) {
                INFO("gradient of " << of);
                auto const& expected = reference["tied.gradient." + std::to_string(step) + "." + of].values;
                auto const found = run.copy_of_gradients(entry.name.view());
                CHECK(tiny::difference(tiny::copy_of(std::span(found), entry, copy), expected.data(),
                                       expected.size()) <= near_gradient);
            });
            result = run.update(result);
            CHECK(result.loss == Approx(reference["tied.loss"].values[step]).epsilon(1e-5));
            CHECK(result.gradient_norm == Approx(reference["tied.gradient_norm"].values[step]).epsilon(1e-5));
        }
    }

    /// What `tied`, whose logits are `found`, and `untied` write says the same of itself; `make_family_fixtures.py
    /// check` has transformers open it.
    template <class Tied, class Untied>
    void check_written(Tied const& tied, std::vector<double> const& found, Untied const& untied) const {
        output_folder const output(name);
        tied.save_model(output / "tied/model");
        untied.save_model(output / "untied/model");
        Tied again(4);
        again.load(io::safetensors(output / "tied/model"));
        CHECK(logits_of(again) == found);
        CHECK(io::read_model_config(output / "tied/model") == Tied::composition::chosen::model::numbers);
        CHECK(io::read_model_config(output / "untied/model") == Untied::composition::chosen::model::numbers);
    }

    /// PEFT's adapter gives its logits here; what is saved of it gives the same again, and `make_family_fixtures.py
    /// check` has PEFT open it.
    template <class Run>
    void exchange(std::string const& adapter) const {
        INFO(adapter);
        Run run(1);
        run.load(weights("tied"));
        CHECK(apart(logits_of(run), "tied") < near);
        run.load_adapter(folder + adapter);
        auto const found = logits_of(run);
        CHECK(apart(found, adapter) < near);

        output_folder const output(name);
        run.save_adapter(output / (adapter + "/adapter"));
        run.save_model(output / (adapter + "/model"));
        Run again(2);
        again.load(weights("tied"));
        again.load_adapter(output / (adapter + "/adapter"));
        CHECK(logits_of(again) == found);
    }

    /// What is said of the folder of `model` whose configuration and tensors (names, shapes, bytes) `change` has
    /// changed.
    template <class Run, class Change>
    std::string said_of_changed(Run& run, std::string const& model, Change const& change) const {
        test::scratch changed;
        auto config = test::read_file(folder + model + "/config.json");
        auto const good = weights(model);
        std::map<std::string, std::pair<std::vector<index_t>, std::vector<std::byte>>> all;
        for (auto const& tensor : good.tensors())
            all[tensor.name] = {tensor.dimensions, {tensor.bytes.begin(), tensor.bytes.end()}};
        change(config, all);
        test::write_file(changed / "config.json", config);
        io::safetensors_writer file(changed / "model.safetensors");
        for (auto const& [tensor, data] : all) file.declare(tensor, io::tensor_type::f32, data.first);
        for (auto const& tensor : file.tensors()) file.write(tensor.name, all[tensor.name].second);
        file.commit();
        return test::refusal([&] { run.load(io::safetensors(changed / "")); });
    }
    /// With another text in the configuration.
    template <class Run>
    std::string said_of_config(Run& run, std::string const& model, std::string const& from,
                               std::string const& to) const {
        return said_of_changed(run, model, [&](auto& config, auto&) { replace(config, from, to); });
    }
    /// With another text in the GGUF file.
    template <class Run>
    std::string said_of_gguf(Run& run, std::string const& model, std::string const& from,
                             std::string const& to) const {
        test::scratch changed;
        auto bytes = test::read_file(folder + model + ".gguf");
        replace(bytes, from, to);
        test::write_file(changed / "changed.gguf", bytes);
        return test::refusal([&] { run.load(io::gguf(changed / "changed.gguf")); });
    }
};

/// Losses and norms of three steps, then the weights, as bits.
template <class Run>
std::vector<std::byte> history(family_files const& files) {
    Run run;
    if constexpr (std::is_same_v<typename Run::composition::quantization, quantization::none>)
        run.load(files.weights("tied"));
    run.options.learning_rate = schedule::constant(0.05);
    std::vector<double> numbers;
    for (std::size_t step = 0; step < 3; ++step) {
        auto const inputs = tiny::integers(files.reference["inputs"], step * 48, 48);
        auto const targets = tiny::integers(files.reference["targets"], step * 48, 48);
        auto const result = run.step({inputs, targets});
        numbers.insert(numbers.end(), {result.loss, result.gradient_norm});
    }
    auto const bytes = std::as_bytes(std::span(numbers));
    std::vector<std::byte> all(bytes.begin(), bytes.end());
    tiny::for_each_tensor<Run>([&](auto const& entry, index_t copy, std::string const&) {
        if (entry.is_quantized() || copy != 0) return;
        auto const weights = run.copy_of_weights(entry.name.view());
        auto const bits = std::as_bytes(std::span(weights));
        all.insert(all.end(), bits.begin(), bits.end());
    });
    return all;
}

/// Whatever is kept for backward, what is trained is the same to the bit; returns it.
template <class Model, class... Policies>
std::vector<std::byte> checkpointing_changes_no_bit(family_files const& files) {
    auto const expected = history<fine_tuning<Model, Policies...>>(files);
    CHECK(history<fine_tuning<Model, Policies..., checkpointing::every_block>>(files) == expected);
    CHECK(history<fine_tuning<Model, Policies..., checkpointing::selective>>(files) == expected);
    return expected;
}

/// The adapters of a family's folder beside its plain LoRA.
template <class Model>
void exchange_dora_and_norms(family_files const& files) {
    using adapters::dora;
    using adapters::lora;
    files.exchange<fine_tuning<Model, dora<rank<4>, alpha<8>, targets<"q_proj", "v_proj", "down_proj">>>>(
        "dora");
    files.exchange<
        fine_tuning<Model, lora<rank<4>, alpha<8>, targets<"q_proj", "k_proj">, also_train<norms>>>>(
        "lora_norms");
}

}  // namespace
