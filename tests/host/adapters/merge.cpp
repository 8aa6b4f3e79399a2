// SPDX-License-Identifier: Apache-2.0
// Adapters and whole models through files, merged and taken apart again.
#include <catch2/catch.hpp>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <memory>
#include <snug/snug.hpp>
#include <sstream>
#include <string>
#include <vector>

namespace {

using namespace snug;
using llama =
    models::llama<layers<2>, heads<4>, kv_heads<2>, width<64>, mlp<128>, vocabulary<97>, context<32>>;
using gpt2 = models::gpt2<layers<2>, heads<4>, width<64>, vocabulary<97>, context<32>>;

struct tokens {
    std::vector<std::int32_t> inputs, targets;
    tokens() {
        for (std::int32_t i = 0; i < 32; ++i) {
            inputs.push_back(i * 7 % 97);
            targets.push_back((i + 1) * 7 % 97);
        }
    }
    token_batch batch() const { return {inputs, targets}; }
};

struct folder {
    std::string path = (std::filesystem::temp_directory_path() / "snug_adapters_XXXXXX").string();
    folder() { REQUIRE(mkdtemp(path.data()) != nullptr); }
    folder(folder const&) = delete;
    ~folder() { std::filesystem::remove_all(path); }
    std::string file(std::string const& name) const { return path + "/" + name; }
    std::string text(std::string const& name) const {
        std::ifstream in(file(name));
        std::ostringstream all;
        all << in.rdbuf();
        return all.str();
    }
};

template <class Model, class... Policies>
using adapted = trainer<Model, batch<2, 16>, Policies...>;
template <class Model>
using plain = trainer<Model, batch<2, 16>>;

template <class Trainer>
double loss(Trainer& run) {
    static tokens const data;
    return run.evaluate(data.batch()).loss;
}

/// A run whose adapter has learnt a little.
template <class Trainer>
std::unique_ptr<Trainer> trained() {
    auto run = std::make_unique<Trainer>(7);
    run->options.learning_rate = schedule::constant(1e-2);
    tokens const data;
    for (int i = 0; i < 5; ++i) run->step(data.batch());
    return run;
}

template <class Model, class... Policies>
void goes_through_files() {
    using with_adapter = adapted<Model, Policies...>;
    folder const out;
    auto const run = trained<with_adapter>();
    auto const expected = loss(*run);

    run->save_adapter(out.file("adapter"));
    with_adapter again(7);
    auto const untrained = loss(again);
    CHECK(std::abs(untrained - expected) > 1e-3);
    again.load_adapter(out.file("adapter"));
    CHECK(loss(again) == expected);

    run->save_model(out.file("model"));
    plain<Model> whole(3);
    whole.load(io::safetensors(out.file("model")));
    CHECK(loss(whole) == Approx(expected).epsilon(1e-6));

    plain<Model> merged(4);
    run->merge_into(merged);
    CHECK(loss(merged) == loss(whole));
    // Taking the adapter out leaves the base exactly: the same as before there was one.
    plain<Model> base(5);
    with_adapter const fresh(7);
    fresh.merge_into(base);
    run->unmerge_from(merged);
    for (auto const& entry : with_adapter::composition::parameter_table.entries) {
        if (!entry.is_of_base() || entry.is_trained()) continue;
        auto const found = merged.weights(entry.name.view());
        auto const before = base.weights(entry.name.view());
        INFO(entry.name.view());
        // DoRA's magnitudes are the rows' lengths only up to rounding.
        for (std::size_t i = 0; i < found.size(); ++i)
            if (std::abs(found[i] - before[i]) > 1e-6f) FAIL(i);
    }
}

}  // namespace

TEST_CASE("an adapter comes back from its files, and a merged model is the adapted one") {
    goes_through_files<llama, adapters::lora<rank<4>>>();
    goes_through_files<llama, adapters::dora<rank<4>, targets<"q_proj", "v_proj">>>();
    goes_through_files<llama, adapters::lora<rank<3>, alpha<6>, also_train<norms, embeddings>>,
                       quantization::double_quantized<quantization::nf4<64>>>();
    goes_through_files<gpt2, adapters::lora<rank<4>, rank_stabilized, targets<"c_attn", "attn.c_proj">>,
                       quantization::nf4<64>>();
}

TEST_CASE("an adapter's configuration names its modules as PEFT would look for them") {
    folder const out;
    adapted<llama, adapters::lora<rank<4>, alpha<8>, targets<"q_proj", "down_proj">>>().save_adapter(
        out.file("a"), "some/model");
    auto const a = out.text("a/adapter_config.json");
    CHECK_THAT(a, Catch::Contains("\"target_modules\": [\"down_proj\", \"q_proj\"]"));
    CHECK_THAT(a, Catch::Contains("\"r\": 4,") && Catch::Contains("\"lora_alpha\": 8,"));
    CHECK_THAT(a, Catch::Contains("\"base_model_name_or_path\": \"some/model\""));
    CHECK_THAT(a, Catch::Contains("\"modules_to_save\": null"));
    // The other projection of GPT-2 has the same last name, so the name must say more.
    adapted<gpt2, adapters::dora<rank<2>, targets<"c_attn", "attn.c_proj">, also_train<norms>>>()
        .save_adapter(out.file("b"));
    auto const b = out.text("b/adapter_config.json");
    CHECK_THAT(b, Catch::Contains("\"target_modules\": [\"attn.c_proj\", \"c_attn\"]"));
    CHECK_THAT(b, Catch::Contains("\"modules_to_save\": [\"ln_1\", \"ln_2\", \"ln_f\"]"));
    CHECK_THAT(b, Catch::Contains("\"fan_in_fan_out\": true") && Catch::Contains("\"use_dora\": true"));
}

TEST_CASE("an adapter of another kind is refused, and nothing changes") {
    folder const out;
    trained<adapted<llama, adapters::lora<rank<4>>>>()->save_adapter(out.file("a"));
    auto const refused = [&]<class Trainer>(Trainer*, std::string const& words) {
        Trainer run(7);
        auto const before = loss(run);
        CHECK_THROWS_WITH(run.load_adapter(out.file("a")), Catch::Contains(words));
        CHECK(loss(run) == before);
    };
    refused(static_cast<adapted<llama, adapters::lora<rank<8>>>*>(nullptr), "found r the number 4");
    refused(static_cast<adapted<llama, adapters::lora<rank<4>, alpha<8>>>*>(nullptr),
            "found lora_alpha the number 4");
    refused(static_cast<adapted<llama, adapters::lora<rank<4>, rank_stabilized>>*>(nullptr),
            "found use_rslora false");
    refused(static_cast<adapted<llama, adapters::dora<rank<4>>>*>(nullptr), "found use_dora false");
    refused(static_cast<adapted<llama, adapters::lora<rank<4>, targets<"q_proj">>>*>(nullptr),
            "a tensor that this adapter has no place for");
    refused(static_cast<adapted<gpt2, adapters::lora<rank<4>>>*>(nullptr),
            "a list without transformer.h.0.attn.c_attn");
    adapted<llama, adapters::lora<rank<4>>> run;
    CHECK_THROWS_WITH(run.load_adapter(out.file("nothing")), Catch::Contains("no such file"));
}

TEST_CASE("weights of another model are refused, and nothing changes") {
    folder const out;
    plain<llama>(7).save_model(out.file("model"));
    auto const refused = [&]<class Trainer>(Trainer*, std::string const& words) {
        Trainer run(9);
        auto const before = loss(run);
        CHECK_THROWS_WITH(run.load(io::safetensors(out.file("model"))), Catch::Contains(words));
        CHECK(loss(run) == before);
    };
    refused(static_cast<plain<models::llama<layers<3>, heads<4>, kv_heads<2>, width<64>, mlp<128>,
                                            vocabulary<97>, context<32>>>*>(nullptr),
            "found 2 layers");
    refused(static_cast<plain<models::llama<layers<2>, heads<4>, kv_heads<2>, width<64>, mlp<128>,
                                            vocabulary<97>, context<32>, rope_theta<500>>>*>(nullptr),
            "a rotary base of");
    refused(static_cast<plain<gpt2>*>(nullptr), "family");
    std::filesystem::remove(out.file("model/config.json"));
    refused(static_cast<plain<models::llama<layers<1>, heads<4>, kv_heads<2>, width<64>, mlp<128>,
                                            vocabulary<97>, context<32>>>*>(nullptr),
            "a tensor that this model has no place for");
    refused(static_cast<plain<models::llama<layers<2>, heads<4>, kv_heads<4>, width<64>, mlp<128>,
                                            vocabulary<97>, context<32>>>*>(nullptr),
            "k_proj.weight: found F32 [32, 64], expected F32 [64, 64]");
}

TEST_CASE("weights of a type without values are refused before anything is loaded") {
    folder const out;
    plain<llama>(7).save_model(out.file("model"));
    {
        io::safetensors const good(out.file("model"));
        io::safetensors_writer file(out.file("codes.safetensors"));
        for (auto const& tensor : good.tensors())
            file.declare(tensor.name, tensor.name == "model.norm.weight" ? io::tensor_type::i32 : tensor.type,
                         tensor.dimensions);
        for (auto const& tensor : file.tensors()) file.write(tensor.name, good.tensor(tensor.name).bytes);
        file.commit();
    }
    plain<llama> run(9);
    auto const before = loss(run);
    CHECK_THROWS_WITH(run.load(io::safetensors(out.file("codes.safetensors"))),
                      Catch::Contains("model.norm.weight") && Catch::Contains("elements of type I32"));
    CHECK(loss(run) == before);
}

TEST_CASE("a snapshot of an adapter holds no base weights, and asks for the same ones") {
    using tuning = adapted<llama, adapters::dora<rank<4>>, quantization::nf4<64>>;
    folder const out;
    auto const run = trained<tuning>();
    run->save(out.file("run.snapshot"));
    CHECK(std::filesystem::file_size(out.file("run.snapshot")) <
          3 * sizeof(float) * static_cast<std::size_t>(trainable_parameter_count<tuning>) + 20000);
    tuning same(7);
    same.resume(out.file("run.snapshot"));
    CHECK(loss(same) == loss(*run));
    tuning other(8);
    auto const before = loss(other);
    CHECK_THROWS_WITH(other.resume(out.file("run.snapshot")), Catch::Contains("other base weights"));
    CHECK(loss(other) == before);
}
