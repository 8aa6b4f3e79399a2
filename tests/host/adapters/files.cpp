// SPDX-License-Identifier: Apache-2.0
// Adapters that PEFT has saved, and what snug saves: tests/reference/check_adapters.py makes the ones and opens the others.
#include "../../reference/tiny.hpp"

#include <catch2/catch.hpp>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <snug/io/safetensors.hpp>
#include <snug/quantization/nf4.hpp>
#include <snug/snug.hpp>
#include <string>
#include <vector>

namespace {

using namespace tiny;
using adapters::dora;
using adapters::lora;

template <class Float, class Model, class... Policies>
using fine_tuning = trainer<Model, batch<2, 16>, precision::full<Float>,
                            optimizers::adamw<optimizers::states<Float>>, Policies...>;

template <class Run>
void load_base(Run& run, snug_test::fixture const& base) {
    for_each_tensor<Run>([&](auto const& entry, snug::index_t copy, std::string const& name) {
        if (!entry.is_of_base()) return;
        auto const& values = base["initial." + name].values;
        auto const target = copy_of(run.weights(entry.name.view()), entry, copy);
        REQUIRE(target.size() == values.size());
        for (std::size_t i = 0; i < values.size(); ++i)
            target[i] = static_cast<typename Run::weight_type>(values[i]);
    });
    run.weights_changed();
}

/// Logits after every token of the fixture's first batch.
template <class Run>
std::vector<double> logits_of(Run& run, snug_test::fixture const& base) {
    std::vector<double> all;
    for (std::size_t sequence = 0; sequence < 2; ++sequence) {
        auto const tokens = integers(base["inputs"], sequence * 16, 16);
        for (std::size_t t = 0; t < 16; ++t) {
            auto const found = run.next_token_logits({tokens.data(), t + 1});
            all.insert(all.end(), found.begin(), found.end());
        }
    }
    return all;
}

std::string folder_of(std::string const& name) { return std::string(SNUG_TEST_DATA) + "/adapters/" + name; }

/// A folder for what a test writes: of SNUG_ADAPTERS_TO, which keeps it, or one that goes again.
class output_folder {
  public:
    explicit output_folder(std::string const& name) {
        auto const* const wanted = std::getenv("SNUG_ADAPTERS_TO");
        keeps_ = wanted != nullptr;
        path_ = (keeps_ ? std::filesystem::path(wanted)
                        : std::filesystem::temp_directory_path() / "snug-adapter-files") /
                name;
        std::filesystem::remove_all(path_);
        std::filesystem::create_directories(path_);
    }
    ~output_folder() {
        if (!keeps_) std::filesystem::remove_all(path_);
    }
    output_folder(output_folder const&) = delete;
    output_folder& operator=(output_folder const&) = delete;

    std::string operator/(std::string const& name) const { return (path_ / name).string(); }

  private:
    std::filesystem::path path_;
    bool keeps_;
};

void write_logits(std::string const& path, std::vector<double> const& logits) {
    std::ofstream file(path, std::ios::binary);
    file << "logits f64 " << logits.size() << " 2 16 97\n\n";
    file.write(reinterpret_cast<char const*>(logits.data()),
               static_cast<std::streamsize>(logits.size() * sizeof(double)));
}

template <class Float, class Model, class Adapter>
void exchange(std::string const& base_name, std::string const& name, double bound, double merged_bound) {
    INFO(name << (sizeof(Float) == 8 ? " in fp64" : " in fp32"));
    using adapted = fine_tuning<Float, Model, Adapter>;
    auto const base = fixture_named(base_name);
    auto const expected = fixture_named("adapters")[name].values;
    adapted run;
    load_base(run, base);
    auto const before = logits_of(run, base);
    run.load_adapter(folder_of(name));
    auto const found = logits_of(run, base);
    CHECK(difference(found, expected.data(), expected.size()) <= bound);
    CHECK(difference(before, expected.data(), expected.size()) > 0.1);

    // What snug saves: to itself the same numbers, to PEFT what check_adapters.py says.
    output_folder const output(name + (sizeof(Float) == 8 ? "" : "-fp32"));
    run.save_adapter(output / "adapter");
    adapted again(1);
    load_base(again, base);
    again.load_adapter(output / "adapter");
    CHECK((logits_of(again, base) == found));

    run.save_model(output / "model");
    fine_tuning<Float, Model> merged;
    merged.load(io::safetensors(output / "model/model.safetensors"));
    CHECK(difference(logits_of(merged, base), found.data(), found.size()) <= merged_bound);
    write_logits(output / "expected.fixture", found);
}

template <class Model, class Adapter>
void exchange_both(std::string const& base, std::string const& name) {
#ifdef SNUG_TEST_NIGHTLY
    exchange<float, Model, Adapter>(base, name, 1e-5, 1e-5);
#endif
    // Merged weights are computed in fp32.
    exchange<double, Model, Adapter>(base, name, 1e-12, 1e-6);
}

}  // namespace

TEST_CASE("LoRA goes to and from PEFT's files") {
    exchange_both<llama, lora<rank<4>, alpha<8>>>("llama_tiny", "lora_all");
    exchange_both<llama, lora<rank<4>, alpha<8>, targets<"q_proj", "v_proj">>>("llama_tiny", "lora_q_v");
    exchange_both<gpt2, lora<rank<4>, alpha<8>>>("gpt2_tiny", "lora_gpt2");
}
TEST_CASE("rank-stabilized LoRA with trained norms goes to and from PEFT's files") {
    exchange_both<llama,
                  lora<rank<4>, alpha<8>, rank_stabilized, targets<"o_proj", "up_proj">, also_train<norms>>>(
        "llama_tiny", "rslora_norms");
}
TEST_CASE("DoRA goes to and from PEFT's files") {
    exchange_both<llama, dora<rank<4>, alpha<8>>>("llama_tiny", "dora_all");
    exchange_both<gpt2, dora<rank<4>, alpha<8>, targets<"c_attn", "c_proj">>>("gpt2_tiny", "dora_gpt2");
}

TEST_CASE("an adapter of some blocks goes to and from PEFT's files") {
    exchange_both<llama,
                  lora<rank<4>, alpha<8>, targets<"q_proj", "v_proj", "down_proj">, only_in<last_blocks<1>>>>(
        "llama_tiny", "lora_last_block");
    exchange_both<gpt2,
                  dora<rank<4>, alpha<8>, targets<"c_attn">, only_in<block_range<0, 0>>, also_train<norms>>>(
        "gpt2_tiny", "dora_first_block_gpt2");
}

TEST_CASE("an adapter of other blocks is refused by name, and nothing has changed") {
    auto const base = fixture_named("llama_tiny");
    auto const said = [&]<class Where>(Where const&, char const* name) -> std::string {
        fine_tuning<float, llama, lora<rank<4>, alpha<8>, targets<"q_proj", "v_proj", "down_proj">, Where>>
            run;
        load_base(run, base);
        auto const before = logits_of(run, base);
        std::string words;
        try {
            run.load_adapter(folder_of(name));
        } catch (error const& refused) {
            words = refused.what();
        }
        CHECK((logits_of(run, base) == before));
        return words;
    };
    CHECK_THAT(said(only_in<block_range<0, 0>>{}, "lora_last_block"),
               Catch::Contains("layers_to_transform") && Catch::Contains("a list without block 0") &&
                   Catch::Contains("blocks 0 to 0, which this trainer was compiled to adapt"));
    CHECK_THAT(said(only_in<last_blocks<1>>{}, "lora_q_v"),
               Catch::Contains("no blocks in layers_to_transform, so all of them"));
    CHECK_THAT(said(only_in<block_range<0, 1>>{}, "lora_last_block"),
               Catch::Contains("a list without block 0"));
}

namespace {

/// What PEFT saved, with the tensors and the configuration that `change` makes of it; what is said of it.
template <class Run, class Change>
std::string said_of_changed(Run& run, std::string const& name, std::string const& from, std::string const& to,
                            Change const& change) {
    output_folder const output("changed");
    std::ifstream file(folder_of(name) + "/adapter_config.json");
    std::string text{std::istreambuf_iterator<char>(file), {}};
    auto const at = text.find(from);
    REQUIRE(at != std::string::npos);
    std::ofstream(output / "adapter_config.json") << text.replace(at, from.size(), to);
    io::safetensors const good(folder_of(name) + "/adapter_model.safetensors");
    std::map<std::string, std::vector<std::byte>> all;
    for (auto const& tensor : good.tensors()) all[tensor.name] = {tensor.bytes.begin(), tensor.bytes.end()};
    change(all);
    io::safetensors_writer written(output / "adapter_model.safetensors");
    for (auto const& [tensor, bytes] : all)
        written.declare(tensor, io::tensor_type::f32, good.tensor(tensor).dimensions);
    for (auto const& [tensor, type, dimensions, size] : written.tensors()) written.write(tensor, all[tensor]);
    written.commit();
    try {
        run.load_adapter(output / "");
    } catch (error const& refused) {
        return refused.what();
    }
    return {};
}

}  // namespace

namespace {

struct projection_too : lora<rank<4>, alpha<8>, targets<"c_attn">> {
    using paths = layer_paths<"blocks.projection">;
    template <text Path, class Layer>
    static constexpr bool trains = paths::contain(Path.view());
};

}  // namespace

TEST_CASE("a linear layer that trains besides goes to and from PEFT's files as they store it") {
    exchange_both<gpt2, projection_too>("gpt2_tiny", "lora_gpt2_projection");
}

TEST_CASE("a tied head that trains is one table here and two equal ones in PEFT's files") {
    using one_target = lora<rank<4>, alpha<8>, targets<"q_proj">, also_train<embeddings>>;
    exchange_both<llama_tied, one_target>("llama_tiny_tied", "lora_tied");
    exchange_both<gpt2, lora<rank<4>, alpha<8>, targets<"c_attn">, also_train<embeddings>>>("gpt2_tiny",
                                                                                            "lora_tied_gpt2");
}

TEST_CASE("an adapter that replaced the embedding and kept the head is refused for a tied model") {
    using tuning =
        fine_tuning<float, llama_tied, lora<rank<4>, alpha<8>, targets<"q_proj">, also_train<embeddings>>>;
    auto const base = fixture_named("llama_tiny_tied");
    auto const expected = fixture_named("adapters")["lora_tied"].values;
    std::string const embedding = "base_model.model.model.embed_tokens.weight";
    std::string const head = "base_model.model.lm_head.weight";
    tuning run;
    load_base(run, base);
    auto const before = logits_of(run, base);
    auto const said = [&](std::string const& saved, auto const& change) {
        return said_of_changed(run, "lora_tied",
                               "\"modules_to_save\": [\n    \"embed_tokens\",\n    "
                               "\"model.embed_tokens\"\n  ]",
                               "\"modules_to_save\": " + saved, change);
    };
    // PEFT ties what it saves as two: with one of them in the file, ensure_weight_tying says nothing.
    for (auto const* const saved : {"[\"embed_tokens\"]", "[\"model.embed_tokens\", \"lm_head\"]"})
        CHECK_THAT(said(saved, [&](auto& all) { all.erase(head); }),
                   Catch::Contains("tensors of model.embed_tokens and none of lm_head"));
    CHECK_THAT(said("[\"lm_head\"]", [&](auto& all) { all.erase(embedding); }),
               Catch::Contains("tensors of lm_head and none of model.embed_tokens"));
    CHECK_THAT(said("[\"embed_tokens\", \"lm_head\"]", [&](auto& all) { all[head][401] ^= std::byte{1}; }),
               Catch::Contains("another value at element 100") && Catch::Contains("lm_head"));
    CHECK_THAT(said("null",
                    [&](auto& all) {
                        all.erase(head);
                        all.erase(embedding);
                    }),
               Catch::Contains("no tensor"));
    CHECK((logits_of(run, base) == before));
    // What is in no list PEFT loads into the base, where the two are one.
    for (auto const& without : {embedding, head}) {
        INFO(without);
        load_base(run, base);
        CHECK(said("null", [&](auto& all) { all.erase(without); }) == "");
        auto const found = logits_of(run, base);
        CHECK(difference(found, expected.data(), expected.size()) <= 1e-5);
    }
}

TEST_CASE("an adapter of another shape or kind is refused, and nothing has changed") {
    auto const base = fixture_named("llama_tiny");
    fine_tuning<float, llama, lora<rank<4>, alpha<8>>> run;
    load_base(run, base);
    auto const before = logits_of(run, base);
    // Fewer modules; another scale; magnitudes; another model.
    for (auto const* const name : {"lora_q_v", "rslora_norms", "dora_all", "lora_gpt2", "none"}) {
        INFO(name);
        CHECK_THROWS_AS(run.load_adapter(folder_of(name)), error);
        CHECK((logits_of(run, base) == before));
    }
    fine_tuning<float, llama, lora<rank<8>, alpha<8>>> wider;
    CHECK_THROWS_AS(wider.load_adapter(folder_of("lora_all")), error);
    fine_tuning<float, llama, lora<rank<4>, alpha<16>>> stronger;
    CHECK_THROWS_AS(stronger.load_adapter(folder_of("lora_all")), error);
}
