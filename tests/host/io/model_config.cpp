// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>

#include <cstdlib>
#include <map>
#include <string>

#include <snug/io/model_config.hpp>
#include <snug/models/presets.hpp>

#include "weight_files.hpp"

using namespace snug::io;
namespace models = snug::models;
using Catch::Matchers::Contains;

namespace {

using config = std::map<std::string, std::string>;

std::string text_of(config const& members) {
    std::string text = "{";
    for (auto const& [key, value] : members)
        text += (text.size() > 1 ? "," : "") + ('"' + key) + "\":" + value;
    return text + '}';
}

/// `members` with some of them changed; an empty value takes a member away.
config with(config members, config const& changes) {
    for (auto const& [key, value] : changes) {
        if (value.empty()) members.erase(key);
        else members[key] = value;
    }
    return members;
}

snug::model_numbers numbers_of(config const& members) {
    test::scratch folder;
    test::write_file(folder / "config.json", text_of(members));
    return read_model_config(folder / "");
}

std::string refused(config const& members) {
    test::scratch folder;
    test::write_file(folder / "config.json", text_of(members));
    return test::refusal([&] { (void)read_model_config(folder / "config.json"); });
}

config const gpt2{{"model_type", "\"gpt2\""},
                  {"activation_function", "\"gelu_new\""},
                  {"layer_norm_epsilon", "1e-05"},
                  {"n_ctx", "1024"},
                  {"n_embd", "768"},
                  {"n_head", "12"},
                  {"n_layer", "12"},
                  {"n_positions", "1024"},
                  {"resid_pdrop", "0.1"},
                  {"vocab_size", "50257"}};

config const smollm2{{"model_type", "\"llama\""},
                     {"attention_bias", "false"},
                     {"eos_token_id", "[1, 2]"},
                     {"hidden_act", "\"silu\""},
                     {"hidden_size", "576"},
                     {"intermediate_size", "1536"},
                     {"max_position_embeddings", "8192"},
                     {"mlp_bias", "false"},
                     {"num_attention_heads", "9"},
                     {"num_hidden_layers", "30"},
                     {"num_key_value_heads", "3"},
                     {"rms_norm_eps", "1e-05"},
                     {"rope_scaling", "null"},
                     {"rope_theta", "100000"},
                     {"tie_word_embeddings", "true"},
                     {"torch_dtype", "\"bfloat16\""},
                     {"vocab_size", "49152"}};

/// As newer versions of transformers write it.
config const smollm2_newer =
    with(smollm2, {{"rope_theta", ""},
                   {"rope_scaling", ""},
                   {"torch_dtype", ""},
                   {"dtype", "\"bfloat16\""},
                   {"head_dim", "64"},
                   {"rope_parameters", R"({"rope_theta": 100000.0, "rope_type": "default"})"}});

config const mistral = with(smollm2, {{"model_type", "\"mistral\""},
                                      {"hidden_size", "4096"},
                                      {"intermediate_size", "14336"},
                                      {"max_position_embeddings", "32768"},
                                      {"mlp_bias", ""},
                                      {"attention_bias", ""},
                                      {"num_attention_heads", "32"},
                                      {"num_hidden_layers", "32"},
                                      {"num_key_value_heads", "8"},
                                      {"rope_theta", "10000.0"},
                                      {"sliding_window", "4096"},
                                      {"tie_word_embeddings", "false"},
                                      {"vocab_size", "32000"}});

config const qwen2{
    {"model_type", "\"qwen2\""},     {"hidden_act", "\"silu\""},           {"hidden_size", "896"},
    {"intermediate_size", "4864"},   {"max_position_embeddings", "32768"}, {"max_window_layers", "21"},
    {"num_attention_heads", "14"},   {"num_hidden_layers", "24"},          {"num_key_value_heads", "2"},
    {"rms_norm_eps", "1e-06"},       {"rope_theta", "1000000.0"},          {"sliding_window", "4096"},
    {"tie_word_embeddings", "true"}, {"use_sliding_window", "false"},      {"vocab_size", "151936"}};

}  // namespace

TEST_CASE("a config.json of each family gives the numbers of its preset") {
    CHECK(numbers_of(gpt2) == models::gpt2_124m::numbers);
    CHECK(numbers_of(with(gpt2, {{"n_inner", "null"}})) == models::gpt2_124m::numbers);
    CHECK(numbers_of(smollm2) == models::smollm2_135m::numbers);
    CHECK(numbers_of(smollm2_newer) == models::smollm2_135m::numbers);
    CHECK(numbers_of(mistral) == models::mistral_7b::numbers);
    CHECK(numbers_of(qwen2) == models::qwen2_5_0_5b::numbers);
}

TEST_CASE("null and missing members of a config.json take the family's defaults") {
    CHECK(numbers_of(with(smollm2, {{"num_key_value_heads", "null"}})).kv_heads == 9);
    CHECK(numbers_of(with(smollm2, {{"num_key_value_heads", ""}})).kv_heads == 9);
    CHECK(numbers_of(with(smollm2, {{"head_dim", "null"}})).head_width == 64);
    CHECK(numbers_of(with(smollm2, {{"head_dim", "128"}})).head_width == 128);
    CHECK(numbers_of(with(smollm2, {{"rope_theta", ""}})).rope_theta == 10000);
    CHECK_FALSE(numbers_of(with(smollm2, {{"tie_word_embeddings", ""}})).tied_head);
    CHECK(numbers_of(with(gpt2, {{"n_inner", "100"}})).mlp == 100);
    CHECK(numbers_of(with(gpt2, {{"layer_norm_epsilon", ""}})).norm_epsilon == 1e-5);
    CHECK_FALSE(numbers_of(with(gpt2, {{"tie_word_embeddings", "false"}})).tied_head);
    CHECK(numbers_of(with(mistral, {{"sliding_window", "null"}})).context == 32768);
    CHECK(numbers_of(with(qwen2, {{"use_sliding_window", "true"}})).context == 4096);
    CHECK(numbers_of(with(smollm2_newer, {{"rope_theta", "100000"}})) == models::smollm2_135m::numbers);
}

TEST_CASE("a config.json that asks for other mathematics is refused") {
    CHECK_THAT(refused(with(smollm2, {{"model_type", "\"gemma\""}})),
               Contains("config.json, byte ") && Contains("the string \"gemma\" for \"model_type\""));
    CHECK_THAT(refused(with(smollm2, {{"model_type", ""}})), Contains("without \"model_type\""));
    CHECK_THAT(refused(with(smollm2, {{"hidden_act", "\"gelu\""}})), Contains("expected \"silu\""));
    CHECK_THAT(refused(with(smollm2, {{"attention_bias", "true"}})), Contains("true for \"attention_bias\""));
    CHECK_THAT(refused(with(smollm2, {{"mlp_bias", "true"}})), Contains("true for \"mlp_bias\""));
    CHECK_THAT(refused(with(smollm2, {{"quantization_config", "{}"}})), Contains("quantization_config"));
    for (std::string const key : {"rope_scaling", "rope_parameters"}) {
        CHECK_THAT(refused(with(smollm2, {{key, R"({"rope_type":"llama3","factor":8.0})"}})),
                   Contains("plain rotary positions"));
        CHECK_THAT(refused(with(smollm2, {{key, R"({"type":"linear","factor":2.0})"}})),
                   Contains("plain rotary positions"));
        CHECK_THAT(refused(with(smollm2, {{key, R"({"full_attention":{"rope_type":"default"}})"}})),
                   Contains("an object for \"full_attention\""));
        CHECK_THAT(refused(with(smollm2, {{key, "1"}})), Contains("the number 1 for \"" + key + '"'));
        CHECK(refused(with(smollm2, {{key, R"({"rope_type":"default"})"}})).empty());
    }
    CHECK_THAT(refused(with(smollm2_newer, {{"rope_theta", "5"}})),
               Contains("the same number as for \"rope_theta\""));
    CHECK_THAT(refused(with(smollm2, {{"partial_rotary_factor", "0.5"}})), Contains("partial_rotary_factor"));
    CHECK_THAT(refused(with(mistral, {{"num_key_value_heads", ""}})),
               Contains("without \"num_key_value_heads\""));
    CHECK_THAT(refused(with(gpt2, {{"activation_function", "\"relu\""}})), Contains("expected \"gelu_new\""));
    CHECK_THAT(refused(with(gpt2, {{"scale_attn_weights", "false"}})), Contains("expected true"));
    CHECK_THAT(refused(with(gpt2, {{"scale_attn_by_inverse_layer_idx", "true"}})),
               Contains("expected false"));
    CHECK_THAT(refused(with(gpt2, {{"add_cross_attention", "true"}})), Contains("expected false"));
}

TEST_CASE("a config.json with a number that can't be is refused") {
    for (std::string const key :
         {"hidden_size", "intermediate_size", "max_position_embeddings", "num_attention_heads",
          "num_hidden_layers", "num_key_value_heads", "vocab_size", "head_dim"}) {
        CAPTURE(key);
        for (std::string const value : {"0", "-1", "1.5", "\"8\"", "[]", "9223372036854775808", "true"}) {
            CAPTURE(value);
            CHECK_THAT(refused(with(smollm2, {{key, value}})), Contains(" for \"" + key + '"'));
        }
    }
    CHECK_THAT(refused(with(smollm2, {{"hidden_size", ""}})), Contains("without \"hidden_size\""));
    CHECK_THAT(refused(with(smollm2, {{"hidden_size", "577"}})), Contains("a multiple of the 9 heads"));
    CHECK_THAT(refused(with(smollm2, {{"rms_norm_eps", "\"x\""}})), Contains("expected a number"));
    CHECK_THAT(refused(with(gpt2, {{"n_embd", "9223372036854775807"}, {"n_head", "1"}})), Contains(" * "));
    CHECK_THAT(refused({}), Contains("without \"model_type\""));
    test::scratch folder;
    CHECK_THAT(test::refusal([&] { (void)read_model_config(folder / ""); }),
               Contains("config.json: found no such"));
}

TEST_CASE("what differs between a trainer and a file is said all at once") {
    constexpr auto compiled = models::smollm2_135m::numbers;
    auto const refused_with = [&](auto change) {
        auto found = compiled;
        change(found);
        return test::refusal([&] { require(compiled, found, {"config.json"}); });
    };
    CHECK(refused_with([](auto&) {}).empty());
    CHECK(refused_with([](auto& n) { n.heads = 32; }) ==
          "config.json: found 32 heads in the file, expected 9 heads, which this trainer was compiled for");
    CHECK(refused_with([](auto& n) {
              n.layers = 2;
              n.tied_head = false;
              n.rope_theta = 500000;
          }) ==
          "config.json: found 2 layers, a rotary base of 500000, a head of its own in the file, expected 30 "
          "layers, "
          "a rotary base of 100000, a head tied to the embedding, which this trainer was compiled for");
    CHECK_THAT(refused_with([](auto& n) { n.family = "gpt2"; }), Contains("family gpt2"));
    CHECK_THAT(refused_with([](auto& n) { n.kv_heads = 9; }), Contains("9 key-value heads"));
    CHECK_THAT(refused_with([](auto& n) { n.head_width = 32; }), Contains("heads of width 32"));
    CHECK_THAT(refused_with([](auto& n) { n.width = 32; }), Contains("a width of 32"));
    CHECK_THAT(refused_with([](auto& n) { n.mlp = 32; }), Contains("an inner width of 32"));
    CHECK_THAT(refused_with([](auto& n) { n.vocabulary = 32; }), Contains("a vocabulary of 32"));
    CHECK_THAT(refused_with([](auto& n) { n.norm_epsilon = 1e-6; }), Contains("a norm epsilon of 1e-06"));
    CHECK_THAT(refused_with([](auto& n) { n.qkv_bias = true; }), Contains("biases of queries"));
    CHECK_THAT(refused_with([](auto& n) { n.context = 8191; }), Contains("a context of 8191"));
    CHECK(refused_with([](auto& n) { n.context = 8193; }).empty());
    CHECK(refused_with([](auto& n) { n.norm_epsilon = static_cast<double>(1e-5f); }).empty());
}

namespace {

using test::gguf::entry;

constexpr std::uint32_t type_u32 = 4, type_f32 = 6, type_text = 8;

/// A GGUF file of a tiny model, with entries and tensors added.
struct tiny_gguf {
    std::map<std::string, std::string> entries{
        {"general.architecture", entry("general.architecture", type_text, test::gguf::text("llama"))},
        {"llama.rope.freq_base", entry("llama.rope.freq_base", type_f32, test::raw(1000.f))},
        {"llama.attention.layer_norm_rms_epsilon",
         entry("llama.attention.layer_norm_rms_epsilon", type_f32, test::raw(1e-5f))}};
    std::vector<std::string> tensors;

    tiny_gguf() {
        for (auto const& [name, value] : std::map<std::string, std::uint32_t>{{"block_count", 2},
                                                                              {"context_length", 128},
                                                                              {"embedding_length", 8},
                                                                              {"feed_forward_length", 16},
                                                                              {"attention.head_count", 2},
                                                                              {"attention.head_count_kv", 1},
                                                                              {"rope.dimension_count", 4}})
            set(name, value);
        add("token_embd.weight", {8, 3});
    }
    void set(std::string const& name, std::uint32_t value) {
        entries["llama." + name] = entry("llama." + name, type_u32, test::u32(value));
    }
    void set(std::string const& name, std::string const& value) {
        entries["llama." + name] = entry("llama." + name, type_text, test::gguf::text(value));
    }
    void add(std::string const& name, std::vector<std::uint64_t> const& dimensions) {
        tensors.push_back(test::gguf::tensor(name, dimensions, 0, 96 * tensors.size()));
    }
    template <class Change>
    static std::string refused(Change change) {
        snug::model_numbers found;
        tiny_gguf file;
        change(file);
        return test::refusal([&] { found = file.read(); });
    }
    snug::model_numbers read() const {
        test::scratch folder;
        std::vector<std::string> all;
        for (auto const& [key, value] : entries) all.push_back(value);
        test::write_file(folder / "g", test::gguf::file(all, tensors, test::zeros(96 * tensors.size())));
        return read_model_config(gguf(folder / "g"));
    }
};

}  // namespace

TEST_CASE("a GGUF file's metadata gives the numbers of its model") {
    snug::model_numbers const expected{.family = "llama",
                                       .layers = 2,
                                       .heads = 2,
                                       .kv_heads = 1,
                                       .head_width = 4,
                                       .width = 8,
                                       .mlp = 16,
                                       .vocabulary = 3,
                                       .context = 128,
                                       .rope_theta = 1000,
                                       .norm_epsilon = static_cast<double>(1e-5f),
                                       .tied_head = true,
                                       .qkv_bias = false};
    CHECK(tiny_gguf().read() == expected);
    tiny_gguf other;
    other.add("output.weight", {8, 3});
    other.add("blk.0.attn_q.bias", {8});
    other.set("attention.sliding_window", 64);
    other.entries.erase("llama.rope.freq_base");
    other.entries.erase("llama.attention.head_count_kv");
    other.set("expert_count", 0);
    auto changed = expected;
    changed.tied_head = false;
    changed.qkv_bias = true;
    changed.context = 64;
    changed.rope_theta = 10000;
    changed.kv_heads = 2;
    CHECK(other.read() == changed);
}

TEST_CASE("a GGUF file of a model that is not implemented is refused") {
    auto const refused = [](auto change) { return tiny_gguf::refused(change); };
    CHECK(refused([](auto&) {}).empty());
    CHECK_THAT(refused([](auto& f) {
                   f.entries["general.architecture"] =
                       entry("general.architecture", type_text, test::gguf::text("gemma"));
               }),
               Contains("the architecture \"gemma\""));
    CHECK_THAT(refused([](auto& f) { f.set("expert_count", 8); }), Contains("8 experts"));
    CHECK_THAT(refused([](auto& f) { f.set("rope.scaling.type", "yarn"); }), Contains("scaled by \"yarn\""));
    CHECK(refused([](auto& f) { f.set("rope.scaling.type", "none"); }).empty());
    CHECK_THAT(refused([](auto& f) { f.set("rope.dimension_count", 2); }), Contains("in all 4"));
    CHECK_THAT(refused([](auto& f) { f.add("rope_freqs.weight", {2}); }), Contains("factors of rotary"));
    CHECK_THAT(refused([](auto& f) { f.set("attention.value_length", 8); }), Contains("values of width 8"));
    CHECK_THAT(refused([](auto& f) { f.set("attention.head_count", 3); }),
               Contains("a multiple of the 3 heads"));
    CHECK_THAT(refused([](auto& f) { f.set("block_count", 0); }), Contains("llama.block_count = 0"));
    CHECK_THAT(refused([](auto& f) { f.set("block_count", "2"); }), Contains("expected an integer"));
    CHECK_THAT(refused([](auto& f) { f.entries.erase("llama.embedding_length"); }),
               Contains("no metadata of the key \"llama.embedding_length\""));
    CHECK_THAT(refused([](auto& f) { f.tensors.clear(); }), Contains("no tensor \"token_embd.weight\""));
    CHECK_THAT(refused([](auto& f) {
                   f.tensors.clear();
                   f.add("token_embd.weight", {24});
               }),
               Contains("F32 [24], expected a matrix"));
}

TEST_CASE("SmolLM2's GGUF file is of the preset smollm2_135m") {
    auto const* const path = std::getenv("SNUG_SMOLLM2");
    if (path == nullptr) {
        WARN("skipped: SNUG_SMOLLM2 does not name SmolLM2-135M-Instruct.Q4_1.gguf");
        return;
    }
    CHECK(test::refusal([&] {
              require(models::smollm2_135m::numbers, read_model_config(gguf(path)), {path});
          }).empty());
}
