// SPDX-License-Identifier: Apache-2.0
// An adapter of a user's own, the one of the example, in merged weights and in files.
#include <catch2/catch.hpp>
#include <cmath>
#include <filesystem>
#include <string>
#include <vector>

#define main main_of_the_example
#include "../../../examples/custom_adapter.cpp"
#undef main

namespace {

using namespace snug;
using llama = models::llama<layers<2>, heads<2>, width<32>, mlp<48>, vocabulary<97>, context<16>>;
/// The same layers, and nobody else's names for them.
struct own : stack<named<"embedding", embedding<97, 32>>,
                   named<"low", sequence<named<"up", linear<32, 32, false>>, named<"norm", rms_norm<32>>>>,
                   named<"head", head_with_loss<32, 97, false>>> {};

// In a family of a user's own: these layers have names and keys in the files of others, too.
constexpr models::parameter_in_files own_parameters[] = {
    {"embedding.table", "backbone.tokens.weight", "token_embd.weight"},
    {"low.up.weight", "backbone.c_up.weight", "up.weight", models::stored::conv1d},
    {"low.norm.weight", "backbone.norm.weight", "norm.weight"},
    {"head.weight", "lm_head.weight", "output.weight"}};
constexpr models::config_number own_numbers[] = {{&model_numbers::vocabulary, "vocab_size", 97},
                                                 {&model_numbers::context, "positions", 16},
                                                 {&model_numbers::width, "channels", 8}};
constexpr models::config_type own_types[] = {
    {.model_type = "own", .architecture = "OwnForCausalLM", .numbers = own_numbers}};
constexpr models::model_family own_family{.name = "own",
                                          .prefix = "backbone.",
                                          .blocks = "layers",
                                          .parameters = own_parameters,
                                          .block_parameters = {},
                                          .types = own_types};
template <index_t Context = 16>
struct of_own_family : own {
    static constexpr model_numbers numbers{
        .family = own_family.name, .width = 32, .vocabulary = 97, .context = Context};
    static constexpr models::model_family const& family = own_family;
};

/// Adapts one layer and trains another, both by path.
struct only_low : mine::ia3 {
    using paths = layer_paths<"low.up", "low.norm">;
    template <text Path, class Linear>
    static constexpr bool adapts = Path.view() == "low.up";
    template <text Path, class Layer>
    static constexpr bool trains = Path.view() == "low.norm";
};

struct folder {
    std::string path = (std::filesystem::temp_directory_path() / "snug_own_XXXXXX").string();
    folder() { REQUIRE(mkdtemp(path.data()) != nullptr); }
    folder(folder const&) = delete;
    ~folder() { std::filesystem::remove_all(path); }
};

template <class Run>
double loss(Run& run) {
    std::vector<std::int32_t> inputs, targets;
    for (std::int32_t i = 0; i < 16; ++i) {
        inputs.push_back(i * 7 % 97);
        targets.push_back(i * 5 % 97);
    }
    return run.evaluate({inputs, targets}).loss;
}

/// Factors that are not 1.
template <class Run>
void learn(Run& run) {
    for (auto const& entry : Run::composition::parameter_table.entries) {
        if (!entry.of_adapter) continue;
        auto values = run.copy_of_weights(entry.name.view());
        for (std::size_t i = 0; i < values.size(); ++i) values[i] = 0.5f + 0.1f * static_cast<float>(i % 17);
        run.set_weights(entry.name.view(), values);
    }
}

}  // namespace

TEST_CASE("a user's adapter is in the merged weights") {
    trainer<llama, batch<1, 16>, mine::ia3> run(7);
    auto const before = loss(run);
    learn(run);
    auto const expected = loss(run);
    CHECK(std::abs(expected - before) > 1e-3);

    trainer<llama, batch<1, 16>> plain(1);
    run.merge_into(plain);
    CHECK(loss(plain) == Approx(expected).epsilon(1e-6));
    run.unmerge_from(plain);
    CHECK(loss(plain) == Approx(before).epsilon(1e-6));
    folder const at;
    run.save_model(at.path);
    plain.load(io::safetensors(at.path));
    CHECK(loss(plain) == Approx(expected).epsilon(1e-6));
}

TEST_CASE("the weights of a user's model are written whole, with this library's names, and read again") {
    trainer<own, batch<1, 16>, only_low> run(7);
    learn(run);
    auto const expected = loss(run);
    folder const at;
    run.save_weights(at.path + "/own.safetensors");
    io::safetensors const file(at.path + "/own.safetensors");
    CHECK(file.tensors().size() == 4);
    CHECK(file.tensor("low.up.weight").dimensions == std::vector<snug::index_t>{32, 32});
    trainer<own, batch<1, 16>> plain(1);
    plain.load(file);
    CHECK(loss(plain) == Approx(expected).epsilon(1e-6));
}

TEST_CASE("a model of a user's own family goes through the files of others") {
    trainer<of_own_family<>, batch<1, 16>, only_low> run(7);
    learn(run);
    auto const expected = loss(run);
    folder const at;
    run.save_model(at.path);
    CHECK(io::read_model_config(at.path, &own_family) == of_own_family<>::numbers);
    io::safetensors const file(at.path + "/model.safetensors");
    CHECK(file.tensor("backbone.c_up.weight").dimensions == std::vector<snug::index_t>{32, 32});
    trainer<of_own_family<>, batch<1, 16>> plain(1);
    plain.load(file);
    CHECK(loss(plain) == Approx(expected).epsilon(1e-6));
    trainer<of_own_family<20>, batch<1, 16>> longer(1);
    CHECK_THROWS_WITH(longer.load(file), Catch::Contains("a context of 16 in the file"));
    trainer<llama, batch<1, 16>> other(1);
    CHECK_THROWS_WITH(other.load(file), Catch::Contains("model_type"));
}

TEST_CASE("a policy that freezes by path freezes what it names") {
    using run = trainer<own, batch<1, 16>, only_low>;
    for (auto const& entry : run::composition::parameter_table.entries) {
        INFO(entry.name.view());
        CHECK(entry.is_trained() == (entry.of_adapter || entry.name.view().starts_with("low.norm")));
    }
}
