// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <catch2/catch.hpp>
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

/// What the tests of Qwen3 share: the models of the fixture, and what is compared with it.
namespace {

using namespace snug;
using Catch::Matchers::Contains;
using snug::index_t;

using tied = models::qwen3<layers<2>, heads<4>, kv_heads<2>, head_width<8>, width<16>, mlp<24>,
                           vocabulary<26>, context<64>, tied_head<1>>;
using untied = models::qwen3<layers<2>, heads<6>, kv_heads<2>, head_width<6>, width<20>, mlp<28>,
                             vocabulary<26>, context<64>>;
template <class Model, class... Policies>
using fine_tuning = trainer<Model, batch<2, 24>, optimizers::sgd<>, Policies...>;

inline std::string const data = SNUG_TEST_DATA "/qwen3/";
inline snug_test::fixture const& reference() {
    static snug_test::fixture const fixture(data + "qwen3.fixture");
    return fixture;
}
constexpr double near = 1e-5;
#ifdef __OPTIMIZE__
constexpr double near_gradient = 1e-5;
#else
/// Without vectors a sum takes one element after the other, and five steps carry its rounding on.
constexpr double near_gradient = 2e-5;
#endif

/// After every token of the first sequence.
template <class Run>
std::vector<double> logits_of(Run& run) {
    auto const tokens = tiny::integers(reference()["inputs"], 0, 24);
    std::vector<double> all;
    for (std::size_t t = 0; t < tokens.size(); ++t) {
        auto const found = run.next_token_logits({tokens.data(), t + 1});
        all.insert(all.end(), found.begin(), found.end());
    }
    return all;
}

/// From those of the fixture, against the largest.
inline double apart(std::vector<double> const& found, std::string const& name) {
    auto const& expected = reference()[name + ".logits"].values;
    REQUIRE(found.size() == expected.size());
    return tiny::difference(found, expected.data(), expected.size());
}

/// A folder for what a test writes: of SNUG_QWEN3_TO, which keeps it, or one that goes again.
class output_folder {
  public:
    std::string operator/(std::string const& name) const {
        auto const* const wanted = std::getenv("SNUG_QWEN3_TO");
        auto const path = wanted != nullptr ? std::string(wanted) + "/" + name : scratch_ / name;
        std::filesystem::create_directories(std::filesystem::path(path).parent_path());
        return path;
    }

  private:
    test::scratch scratch_;
};

template <class Run>
void check_training(Run& run) {
    run.options.learning_rate = schedule::constant(0.05);
    run.options.weight_decay = 0;
    for (std::size_t step = 0; step < 5; ++step) {
        INFO("step " << step);
        auto const inputs = tiny::integers(reference()["inputs"], step * 48, 48);
        auto const targets = tiny::integers(reference()["targets"], step * 48, 48);
        auto result = run.accumulate({inputs, targets});
        tiny::for_each_trained_tensor<Run>([&](auto const& entry, index_t copy, std::string const& name) {
            INFO("gradient of " << name);
            auto const& expected = reference()["tied.gradient." + std::to_string(step) + "." + name].values;
            auto const found = run.copy_of_gradients(entry.name.view());
            CHECK(tiny::difference(tiny::copy_of(std::span(found), entry, copy), expected.data(),
                                   expected.size()) <= near_gradient);
        });
        result = run.update(result);
        CHECK(result.loss == Approx(reference()["tied.loss"].values[step]).epsilon(1e-5));
        CHECK(result.gradient_norm == Approx(reference()["tied.gradient_norm"].values[step]).epsilon(1e-5));
    }
}

/// PEFT's adapter gives its logits here; what is saved of it gives the same again, and `make_qwen3_fixtures.py check` has PEFT open it.
template <class Run>
void exchange(std::string const& name) {
    INFO(name);
    Run run(1);
    run.load(io::safetensors(data + "tied"));
    auto const base = logits_of(run);
    CHECK(apart(base, "tied") < near);
    run.load_adapter(data + name);
    auto const found = logits_of(run);
    CHECK(apart(found, name) < near);

    output_folder const output;
    run.save_adapter(output / (name + "/adapter"));
    run.save_model(output / (name + "/model"));
    Run again(2);
    again.load(io::safetensors(data + "tied"));
    again.load_adapter(output / (name + "/adapter"));
    CHECK(logits_of(again) == found);
}

}  // namespace
