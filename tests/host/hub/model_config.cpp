// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>

#include <cmath>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <map>
#include <set>
#include <string>
#include <utility>

#include <snug/hub/model_config.hpp>
#include <snug/hub/write_model_config.hpp>
#include <snug/models/presets.hpp>

#include "../io/weight_files.hpp"

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

/// Qwen3-0.6B as it was published.
config const qwen3{{"model_type", "\"qwen3\""},
                   {"architectures", R"(["Qwen3ForCausalLM"])"},
                   {"attention_bias", "false"},
                   {"attention_dropout", "0.0"},
                   {"bos_token_id", "151643"},
                   {"eos_token_id", "151645"},
                   {"head_dim", "128"},
                   {"hidden_act", "\"silu\""},
                   {"hidden_size", "1024"},
                   {"initializer_range", "0.02"},
                   {"intermediate_size", "3072"},
                   {"max_position_embeddings", "40960"},
                   {"max_window_layers", "28"},
                   {"num_attention_heads", "16"},
                   {"num_hidden_layers", "28"},
                   {"num_key_value_heads", "8"},
                   {"rms_norm_eps", "1e-06"},
                   {"rope_scaling", "null"},
                   {"rope_theta", "1000000"},
                   {"sliding_window", "null"},
                   {"tie_word_embeddings", "true"},
                   {"torch_dtype", "\"bfloat16\""},
                   {"transformers_version", "\"4.51.0\""},
                   {"use_cache", "true"},
                   {"use_sliding_window", "false"},
                   {"vocab_size", "151936"}};

/// One entry for each layer; every `interval`-th is a 0.
std::string rotated(int layers, int interval) {
    std::string list = "[";
    for (int i = 1; i <= layers; ++i) list += (i > 1 ? ", " : "") + std::to_string(i % interval != 0);
    return list + ']';
}

/// SmolLM3-3B, with what its class does not look at.
config const smollm3{{"model_type", "\"smollm3\""},   {"attention_bias", "false"},
                     {"hidden_act", "\"silu\""},      {"hidden_size", "2048"},
                     {"intermediate_size", "11008"},  {"max_position_embeddings", "65536"},
                     {"max_window_layers", "28"},     {"mlp_bias", "false"},
                     {"no_rope_layer_interval", "4"}, {"no_rope_layers", rotated(36, 4)},
                     {"num_attention_heads", "16"},   {"num_hidden_layers", "36"},
                     {"num_key_value_heads", "4"},    {"rms_norm_eps", "1e-06"},
                     {"rope_theta", "5000000.0"},     {"sliding_window", "null"},
                     {"tie_word_embeddings", "true"}, {"use_sliding_window", "false"},
                     {"vocab_size", "128256"}};

}  // namespace

TEST_CASE("a config.json of each family gives the numbers of its preset") {
    CHECK(numbers_of(gpt2) == models::gpt2_124m::numbers);
    CHECK(numbers_of(with(gpt2, {{"n_inner", "null"}})) == models::gpt2_124m::numbers);
    CHECK(numbers_of(smollm2) == models::smollm2_135m::numbers);
    CHECK(numbers_of(smollm2_newer) == models::smollm2_135m::numbers);
    CHECK(numbers_of(mistral) == models::mistral_7b::numbers);
    CHECK(numbers_of(qwen2) == models::qwen2_5_0_5b::numbers);
    CHECK(numbers_of(qwen3) == models::qwen3_0_6b::numbers);
    CHECK(numbers_of(smollm3) == models::smollm3_3b::numbers);
}

TEST_CASE("missing members of a config.json have the defaults of the family's class in transformers") {
    // GPT2Config(), LlamaConfig(), MistralConfig(), Qwen2Config(), Qwen3Config() and SmolLM3Config() of
    // transformers 5.24.
    CHECK(numbers_of({{"model_type", "\"gpt2\""}}) == models::gpt2_124m::numbers);
    snug::model_numbers const llama{.family = "llama",
                                    .layers = 32,
                                    .heads = 32,
                                    .kv_heads = 32,
                                    .head_width = 128,
                                    .width = 4096,
                                    .mlp = 11008,
                                    .vocabulary = 32000,
                                    .context = 2048,
                                    .rope_theta = 10000,
                                    .norm_epsilon = 1e-6};
    CHECK(numbers_of({{"model_type", "\"llama\""}}) == llama);
    auto mistral_7b = llama;
    mistral_7b.kv_heads = 8;
    mistral_7b.mlp = 14336;
    mistral_7b.context = 131072;
    mistral_7b.sliding_window = 4096;
    CHECK(numbers_of({{"model_type", "\"mistral\""}}) == mistral_7b);
    mistral_7b.sliding_window = 0;
    CHECK(numbers_of({{"model_type", "\"mistral\""}, {"sliding_window", "null"}}) == mistral_7b);
    auto qwen2_7b = llama;
    qwen2_7b.mlp = 22016;
    qwen2_7b.vocabulary = 151936;
    qwen2_7b.context = 32768;
    qwen2_7b.qkv_bias = true;
    CHECK(numbers_of({{"model_type", "\"qwen2\""}}) == qwen2_7b);
    auto qwen3_8b = qwen2_7b;
    qwen3_8b.family = "qwen3";
    qwen3_8b.qkv_bias = false;
    CHECK(numbers_of({{"model_type", "\"qwen3\""}}) == qwen3_8b);
    // Heads of 128 are not a share of the width.
    CHECK(numbers_of({{"model_type", "\"qwen3\""}, {"hidden_size", "1000"}}).head_width == 128);
    CHECK_THAT(refused(with(qwen3, {{"head_dim", "null"}})), Contains("null for \"head_dim\""));
    auto smollm3_3b = models::smollm3_3b::numbers;
    smollm3_3b.context = 32768;
    smollm3_3b.rope_theta = 2000000;
    CHECK(numbers_of({{"model_type", "\"smollm3\""}}) == smollm3_3b);
    // Null is "as many as heads" in all, missing only in Llama.
    CHECK(numbers_of(with(mistral, {{"num_key_value_heads", ""}})).kv_heads == 8);
    CHECK(numbers_of(with(mistral, {{"num_key_value_heads", "null"}})).kv_heads == 32);
    CHECK(numbers_of(with(qwen2, {{"num_key_value_heads", "null"}})).kv_heads == 14);
    // What is left out of a model's file in practice.
    CHECK(numbers_of(with(smollm2, {{"hidden_act", ""}})) == models::smollm2_135m::numbers);
    CHECK(numbers_of(with(smollm2, {{"hidden_act", "\"swish\""}})) == models::smollm2_135m::numbers);
    CHECK(numbers_of(with(smollm2, {{"rms_norm_eps", ""}})).norm_epsilon == 1e-6);
    CHECK(numbers_of(with(smollm2, {{"max_position_embeddings", ""}, {"max_sequence_length", "4096"}}))
              .context == 2048);
    // transformers refuses null in these, too.
    for (std::string const key :
         {"hidden_size", "rms_norm_eps", "tie_word_embeddings", "hidden_act", "rope_theta", "vocab_size"}) {
        CAPTURE(key);
        CHECK_THAT(refused(with(smollm2, {{key, "null"}})), Contains("null for \"" + key + '"'));
    }
}

TEST_CASE("GPT-2's numbers have the names of other families, too") {
    auto const other = with(gpt2, {{"n_embd", ""},
                                   {"n_head", ""},
                                   {"n_layer", ""},
                                   {"n_positions", ""},
                                   {"hidden_size", "1024"},
                                   {"num_attention_heads", "16"},
                                   {"num_hidden_layers", "24"},
                                   {"max_position_embeddings", "1024"}});
    CHECK(numbers_of(other) == models::gpt2_355m::numbers);
    CHECK(numbers_of(with(gpt2, {{"hidden_size", "768"}})) == models::gpt2_124m::numbers);
    CHECK_THAT(refused(with(gpt2, {{"hidden_size", "1024"}})),
               Contains("the number 1024 for \"hidden_size\", expected the same number as for \"n_embd\""));
}

TEST_CASE("the files of published models have the numbers of their presets") {
    // Llama 3.2 as Meta published it, and as transformers 5 writes it.
    config const llama3_2{
        {"model_type", "\"llama\""},
        {"architectures", R"(["LlamaForCausalLM"])"},
        {"attention_bias", "false"},
        {"attention_dropout", "0.0"},
        {"bos_token_id", "128000"},
        {"eos_token_id", "[128001, 128008, 128009]"},
        {"head_dim", "64"},
        {"hidden_act", "\"silu\""},
        {"hidden_size", "2048"},
        {"initializer_range", "0.02"},
        {"intermediate_size", "8192"},
        {"max_position_embeddings", "131072"},
        {"mlp_bias", "false"},
        {"num_attention_heads", "32"},
        {"num_hidden_layers", "16"},
        {"num_key_value_heads", "8"},
        {"pretraining_tp", "1"},
        {"rms_norm_eps", "1e-05"},
        {"rope_scaling", R"({"factor": 32.0, "high_freq_factor": 4.0, "low_freq_factor": 1.0,
                              "original_max_position_embeddings": 8192, "rope_type": "llama3"})"},
        {"rope_theta", "500000.0"},
        {"tie_word_embeddings", "true"},
        {"torch_dtype", "\"bfloat16\""},
        {"transformers_version", "\"4.45.0.dev0\""},
        {"use_cache", "true"},
        {"vocab_size", "128256"}};
    CHECK(numbers_of(llama3_2) == models::llama3_2_1b::numbers);
    CHECK(numbers_of(with(llama3_2, {{"hidden_size", "3072"},
                                     {"head_dim", "128"},
                                     {"num_attention_heads", "24"},
                                     {"num_hidden_layers", "28"}})) == models::llama3_2_3b::numbers);
    CHECK(numbers_of(with(llama3_2, {{"rope_scaling", ""},
                                     {"rope_theta", ""},
                                     {"rope_parameters", R"({"factor": 32.0, "high_freq_factor": 4.0,
                               "low_freq_factor": 1.0, "original_max_position_embeddings": 8192,
                               "rope_theta": 500000.0, "rope_type": "llama3"})"}})) ==
          models::llama3_2_1b::numbers);
    auto const llama3_1 = with(llama3_2, {{"hidden_size", "4096"},
                                          {"head_dim", ""},
                                          {"intermediate_size", "14336"},
                                          {"num_hidden_layers", "32"},
                                          {"rope_scaling", R"({"factor": 8.0, "low_freq_factor": 1.0,
                                              "high_freq_factor": 4.0,
                                              "original_max_position_embeddings": 8192,
                                              "rope_type": "llama3"})"},
                                          {"tie_word_embeddings", "false"}});
    CHECK(numbers_of(llama3_1) == models::llama3_1_8b::numbers);
    CHECK(numbers_of(with(llama3_1, {{"rope_scaling", "null"}, {"max_position_embeddings", "8192"}})) ==
          models::llama3_8b::numbers);
    // Neither is the other, and that is said.
    auto const differs = [](auto const& compiled, auto const& found) {
        return test::refusal([&] { require(compiled, found, {"config.json"}); });
    };
    auto const old = models::llama3_8b::numbers, scaled = models::llama3_1_8b::numbers;
    CHECK_THAT(differs(old, scaled), Contains("found rotary frequencies scaled as Llama 3's are (factor 8, "
                                              "low_freq_factor 1, high_freq_factor 4, "
                                              "original_max_position_embeddings 8192) in the file, expected "
                                              "rotary frequencies that are not scaled"));
    CHECK_THAT(differs(scaled, old), Contains("expected a context of 131072, rotary frequencies scaled as"));

    CHECK(numbers_of(with(smollm2, {{"is_llama_config", "true"},
                                    {"rope_interleaved", "false"},
                                    {"transformers.js_config", R"({"kv_cache_dtype": {"q4f16": "float16"}})"},
                                    {"initializer_range", "0.041666666666666664"},
                                    {"pad_token_id", "2"}})) == models::smollm2_135m::numbers);
    CHECK(numbers_of(with(qwen2, {{"use_mrope", "false"}, {"attention_dropout", "0.0"}})) ==
          models::qwen2_5_0_5b::numbers);
    auto const qwen3_of = [](config const& changes) { return numbers_of(with(qwen3, changes)); };
    CHECK(qwen3_of({{"hidden_size", "2048"}, {"intermediate_size", "6144"}}) == models::qwen3_1_7b::numbers);
    CHECK(qwen3_of({{"hidden_size", "2560"},
                    {"intermediate_size", "9728"},
                    {"max_window_layers", "36"},
                    {"num_attention_heads", "32"},
                    {"num_hidden_layers", "36"}}) == models::qwen3_4b::numbers);
    CHECK(qwen3_of({{"hidden_size", "4096"},
                    {"intermediate_size", "12288"},
                    {"max_window_layers", "36"},
                    {"num_attention_heads", "32"},
                    {"num_hidden_layers", "36"},
                    {"tie_word_embeddings", "false"}}) == models::qwen3_8b::numbers);
    CHECK(qwen3_of({{"hidden_size", "5120"},
                    {"intermediate_size", "17408"},
                    {"max_window_layers", "40"},
                    {"num_attention_heads", "40"},
                    {"num_hidden_layers", "40"},
                    {"tie_word_embeddings", "false"}}) == models::qwen3_14b::numbers);
    CHECK(qwen3_of({{"hidden_size", "5120"},
                    {"intermediate_size", "25600"},
                    {"max_window_layers", "64"},
                    {"num_attention_heads", "64"},
                    {"num_hidden_layers", "64"},
                    {"tie_word_embeddings", "false"}}) == models::qwen3_32b::numbers);
    CHECK(numbers_of(with(gpt2, {{"attn_pdrop", "0.1"},
                                 {"embd_pdrop", "0.1"},
                                 {"initializer_range", "0.02"},
                                 {"summary_activation", "null"},
                                 {"summary_first_dropout", "0.1"},
                                 {"summary_proj_to_labels", "true"},
                                 {"summary_type", "\"cls_index\""},
                                 {"summary_use_proj", "true"},
                                 {"task_specific_params",
                                  R"({"text-generation": {"do_sample": true, "max_length": 50}})"}})) ==
          models::gpt2_124m::numbers);
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
    CHECK(numbers_of(with(smollm2_newer, {{"rope_theta", "100000"}})) == models::smollm2_135m::numbers);
}

TEST_CASE("which layers rotate is a list, or every so many-th does not") {
    auto const interval_of = [](config const& changes) {
        return numbers_of(with(smollm3, changes)).no_rope_interval;
    };
    CHECK(interval_of({{"no_rope_layer_interval", ""}}) == 4);
    CHECK(interval_of({{"no_rope_layers", ""}}) == 4);
    CHECK(interval_of({{"no_rope_layers", "null"}, {"no_rope_layer_interval", "3"}}) == 3);
    // transformers reads the list, where there is one.
    CHECK(interval_of({{"no_rope_layers", rotated(36, 3)}}) == 3);
    CHECK(interval_of({{"no_rope_layers", rotated(36, 1)}}) == 1);
    CHECK(interval_of({{"no_rope_layers", rotated(36, 37)}}) == 0);
    CHECK(interval_of({{"no_rope_layers", ""}, {"no_rope_layer_interval", "37"}}) == 0);
    CHECK(interval_of({{"sliding_window", "4096"}, {"pretraining_tp", "2"}}) == 4);

    auto const said = [](config const& changes) { return refused(with(smollm3, changes)); };
    for (int const layers : {1, 35, 37})
        CHECK_THAT(said({{"no_rope_layers", rotated(layers, 4)}}),
                   Contains("a number for each of the 36 layers"));
    auto irregular = rotated(36, 4);
    irregular[irregular.size() - 2] = '1';
    CHECK_THAT(said({{"no_rope_layers", irregular}}),
               Contains("the number 1 in \"no_rope_layers\", expected 1, and 0 for every so many-th layer"));
    irregular[irregular.size() - 2] = '2';
    CHECK_THAT(said({{"no_rope_layers", irregular}}), Contains("the number 2 in \"no_rope_layers\""));
    CHECK_THAT(said({{"no_rope_layers", "4"}}), Contains("expected an array"));
    CHECK_THAT(said({{"no_rope_layers", ""}, {"no_rope_layer_interval", "0"}}), Contains("at least 1"));
    CHECK_THAT(said({{"use_sliding_window", "true"}, {"sliding_window", "4096"}}),
               Contains("true for \"use_sliding_window\""));
    CHECK_THAT(refused(with(smollm2, {{"no_rope_layers", rotated(30, 4)}})),
               Contains("for \"no_rope_layers\"") && Contains("may change the mathematics"));
}

TEST_CASE("a sliding window is in every layer, or ends the context") {
    auto const context_of = [](config const& members) { return numbers_of(members).context; };
    auto const window_of = [](config const& members) { return numbers_of(members).sliding_window; };
    for (auto const& [said, window] :
         std::map<std::string, snug::index_t>{{"", 4096}, {"100", 100}, {"null", 0}}) {
        CHECK(window_of(with(mistral, {{"sliding_window", said}})) == window);
        CHECK(context_of(with(mistral, {{"sliding_window", said}})) == 32768);
    }
    auto const everywhere =
        with(qwen3, {{"use_sliding_window", "true"}, {"sliding_window", "4096"}, {"max_window_layers", "0"}});
    CHECK(window_of(everywhere) == 4096);
    CHECK(context_of(everywhere) == 40960);
    CHECK(numbers_of(with(mistral, {{"sliding_window", "32768"}})).sliding_window == 0);
    CHECK(context_of(with(qwen2, {{"use_sliding_window", "true"}})) == 4096);
    CHECK(context_of(with(qwen2, {{"use_sliding_window", "true"}, {"max_window_layers", "24"}})) == 32768);
    CHECK(context_of(with(qwen2, {{"use_sliding_window", "true"}, {"max_window_layers", ""}})) == 32768);
    CHECK(context_of(with(qwen3, {{"use_sliding_window", "true"}, {"sliding_window", "4096"}})) == 40960);
    CHECK(context_of(with(qwen3, {{"use_sliding_window", "true"},
                                  {"sliding_window", "4096"},
                                  {"max_window_layers", "27"}})) == 4096);
    // A type for each layer.
    auto const types = [](std::string const& kind, int layers) {
        std::string list = "[";
        for (int i = 0; i + 1 < layers; ++i) list += "\"full_attention\", ";
        return list + '"' + kind + "\"]";
    };
    CHECK(context_of(with(qwen2, {{"layer_types", types("full_attention", 24)}})) == 32768);
    for (int const layers : {1, 23, 25})
        CHECK_THAT(refused(with(qwen2, {{"layer_types", types("full_attention", layers)}})),
                   Contains("a type for each of the 24 layers"));
    CHECK_THAT(refused(with(smollm2, {{"layer_types", "[]"}})), Contains("a type for each"));
    auto const mixed = types("sliding_attention", 24);
    CHECK(context_of(with(qwen2, {{"use_sliding_window", "true"}, {"layer_types", mixed}})) == 4096);
    CHECK_THAT(refused(with(qwen2, {{"layer_types", mixed}})),
               Contains("the string \"sliding_attention\" in \"layer_types\""));
    CHECK_THAT(refused(with(smollm2, {{"layer_types", types("chunked_attention", 30)}})),
               Contains("the string \"chunked_attention\" in \"layer_types\""));
    CHECK_THAT(refused(with(mistral, {{"layer_types", types("full_attention", 32)}})),
               Contains("\"layer_types\""));
    CHECK_THAT(refused(with(mistral, {{"use_sliding_window", "false"}})), Contains("\"use_sliding_window\""));
    CHECK_THAT(refused(with(smollm2, {{"sliding_window", "4096"}})),
               Contains("the number 4096 for \"sliding_window\""));
    CHECK(refused(with(smollm2, {{"sliding_window", "null"}})).empty());

    auto longer = models::mistral_7b::numbers;
    longer.context = 8192;
    longer.sliding_window = 0;
    auto const said = [](auto const& compiled, auto const& found) {
        return test::refusal([&] { require(compiled, found, {"config.json"}); });
    };
    CHECK_THAT(said(longer, numbers_of(mistral)),
               Contains("found attention within a sliding window of 4096 tokens in the file, expected "
                        "attention to a whole context of 8192"));
    auto const compiled = models::mistral_7b::numbers;
    CHECK_THAT(said(compiled, numbers_of(with(mistral, {{"sliding_window", "null"}}))),
               Contains("found attention to a whole context of 32768 in the file, expected attention within "
                        "a sliding window of 4096 tokens"));
    CHECK_THAT(said(compiled, numbers_of(with(mistral, {{"sliding_window", "100"}}))),
               Contains("within a sliding window of 100 tokens in the file"));
    // Up to its length it is full attention; a file may not say it.
    longer.context = 4096;
    CHECK(said(longer, numbers_of(mistral)).empty());
    longer = compiled;
    longer.sliding_window = -1;
    CHECK(said(compiled, longer).empty());
    // In some layers is not in all.
    auto some = models::qwen2_5_0_5b::numbers;
    some.sliding_window = 4096;
    CHECK_THAT(said(some, numbers_of(with(qwen2, {{"use_sliding_window", "true"}}))),
               Contains("within a sliding window of 4096 tokens in some layers in the file"));
}

TEST_CASE("scaled rotary frequencies are read, by either name") {
    auto const scaling = [](config const& members) { return numbers_of(members).rope_scaling; };
    for (std::string const key : {"rope_scaling", "rope_parameters"}) {
        CAPTURE(key);
        for (std::string const type : {"rope_type", "type"}) {
            auto const given = [&](std::string const& rest) {
                return with(smollm2, {{key, "{\"" + type + "\":" + rest + "}"}});
            };
            CHECK(scaling(given(R"("linear","factor":2.5)")).factor == 2.5);
            CHECK(scaling(given(R"("linear","factor":1)")) == snug::rope::scaling{});
            CHECK(scaling(given(R"("linear","factor":4,"rope_theta":100000)")) ==
                  snug::rope::linear<4>::numbers());
            std::string const llama3 = R"("llama3","factor":8.0,"low_freq_factor":1,"high_freq_factor":4)";
            CHECK(scaling(given(llama3 + R"(,"original_max_position_embeddings":64)")) ==
                  snug::rope::llama3<8, 1, 4, 64>::numbers());
            // The original context is the context where nothing else is said, or what is said outside.
            CHECK(scaling(given(llama3)) == snug::rope::llama3<8>::numbers());
            CHECK(scaling(with(given(llama3), {{"original_max_position_embeddings", "64"}})) ==
                  snug::rope::llama3<8, 1, 4, 64>::numbers());
            CHECK_THAT(refused(with(given(llama3 + R"(,"original_max_position_embeddings":64)"),
                                    {{"original_max_position_embeddings", "128"}})),
                       Contains("\"original_max_position_embeddings\""));
            CHECK_THAT(refused(given(R"("llama3","factor":8.0,"low_freq_factor":1)")),
                       Contains("without \"high_freq_factor\""));
            CHECK_THAT(refused(given(R"("llama3","factor":8.0,"low_freq_factor":4,"high_freq_factor":4)")),
                       Contains("more than \"low_freq_factor\""));
            CHECK_THAT(refused(given(R"("linear")")), Contains("without \"factor\""));
            CHECK_THAT(refused(given(R"("linear","factor":0)")), Contains("a positive number"));
            CHECK_THAT(refused(given(R"("default","factor":2)")), Contains("the number 2 for \"factor\""));
            CHECK_THAT(refused(given(R"("linear","factor":2,"beta_fast":32)")), Contains("\"beta_fast\""));
            CHECK_THAT(refused(given(llama3 + R"(,"attention_factor":1.2)")),
                       Contains("\"attention_factor\""));
            CHECK(refused(given(llama3 + R"(,"attention_factor":null)")).empty());
            for (std::string const other : {"dynamic", "yarn", "longrope", "proportional", "mrope", "su"})
                CHECK_THAT(refused(given('"' + other + R"(","factor":2)")),
                           Contains("the string \"" + other + "\""));
        }
    }
    // Both names at once must agree, in what transformers takes from them.
    auto const both = [](std::string const& older, std::string const& newer, std::string const& theta) {
        return with(smollm2, {{"rope_scaling", older}, {"rope_parameters", newer}, {"rope_theta", theta}});
    };
    auto const linear = R"({"type":"linear","factor":2})";
    CHECK(scaling(both(linear, R"({"rope_type":"linear","factor":2,"rope_theta":5})", "5")).factor == 2);
    CHECK_THAT(refused(both(linear, R"({"rope_type":"default","rope_theta":5})", "5")),
               Contains("the same as in \"rope_parameters\""));
    CHECK_THAT(refused(both(linear, R"({"rope_type":"linear","factor":2,"rope_theta":5})", "")),
               Contains("the same number as for the other \"rope_theta\""));
    CHECK(scaling(both("{}", R"({"rope_type":"linear","factor":2,"rope_theta":5})", "")).factor == 2);
    CHECK_THAT(refused(both("", R"({"rope_type":"linear","type":"default","factor":2})", "")),
               Contains("the string \"default\" for \"type\""));
}

TEST_CASE("a key of a config.json that is not known is refused by its name") {
    for (auto const& family : {gpt2, smollm2, mistral, qwen2, qwen3, smollm3}) {
        for (auto const& [key, value] :
             std::map<std::string, std::string>{{"final_logit_softcapping", "30.0"},
                                                {"attn_logit_softcapping", "50.0"},
                                                {"attention_bias", "true"},
                                                {"mlp_bias", "true"},
                                                {"reorder_and_upcast_attn", "true"},
                                                {"pretraining_tp", "2"},
                                                {"partial_rotary_factor", "0.5"},
                                                {"use_bidirectional_attention", "true"},
                                                {"is_causal", "false"},
                                                {"is_encoder_decoder", "true"},
                                                {"pruned_heads", R"({"0": [1]})"},
                                                {"num_local_experts", "8"},
                                                {"auto_map", "{}"},
                                                {"embedding_multiplier", "12.0"},
                                                {"per_layer_config", "{}"},
                                                {"rope_interleaved", "true"},
                                                {"x", "0"}}) {
            CAPTURE(family.at("model_type"), key);
            if (family == smollm3 && key == "pretraining_tp") continue;  // its class does not read it
            CHECK_THAT(refused(with(family, {{key, value}})), Contains(" for \"" + key + '"'));
            // Null says nothing, but of a flag, whose default it is not.
            bool const is_flag = std::string_view(value) == "true" || std::string_view(value) == "false";
            CHECK(refused(with(family, {{key, "null"}})).empty() != is_flag);
        }
        // Keys of another family are as unknown.
        CHECK_THAT(refused(with(family, {{family == gpt2 ? "rope_theta" : "n_embd", "5"}})),
                   Contains("the number 5 for ") && Contains("may change the mathematics"));
        CHECK(
            refused(with(family, {{"pruned_heads", "{}"}, {"is_causal", "true"}, {"pretraining_tp", "1.0"}}))
                .empty());
    }
    for (auto const& [key, value] : std::map<std::string, std::string>{
             {"attention_bias", "false"}, {"scale_attn_weights", "true"}, {"temperature", "0.7"}})
        CHECK(refused(with(qwen2, {{key, value}})).empty());
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
        CHECK_THAT(refused(with(smollm2, {{key, R"({"full_attention":{"rope_type":"default"}})"}})),
                   Contains("an object for \"full_attention\""));
        CHECK_THAT(refused(with(smollm2, {{key, "1"}})), Contains("the number 1 for \"" + key + '"'));
        CHECK(refused(with(smollm2, {{key, R"({"rope_type":"default"})"}})).empty());
    }
    CHECK_THAT(refused(with(smollm2_newer, {{"rope_theta", "5"}})),
               Contains("the same number as for the other \"rope_theta\""));
    CHECK_THAT(refused(with(smollm2, {{"partial_rotary_factor", "0.5"}})), Contains("partial_rotary_factor"));
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
    CHECK_THAT(refused(with(smollm2, {{"hidden_size", ""}})),
               Contains("a width of 4096, expected a multiple of the 9 heads"));
    CHECK_THAT(refused(with(smollm2, {{"num_key_value_heads", "2"}})),
               Contains("9 heads, expected a multiple of the 2 key-value heads"));
    for (std::string const key : {"rms_norm_eps", "rope_theta"})
        for (std::string const value : {"0", "-1e-5"})
            CHECK_THAT(refused(with(smollm2, {{key, value}})), Contains("a positive number"));
    CHECK_THAT(refused(with(smollm2, {{"hidden_size", "577"}})), Contains("a multiple of the 9 heads"));
    CHECK_THAT(refused(with(smollm2, {{"rms_norm_eps", "\"x\""}})), Contains("expected a number"));
    CHECK_THAT(refused(with(gpt2, {{"n_embd", "9223372036854775807"}, {"n_head", "1"}})), Contains(" * "));
    CHECK_THAT(refused({}), Contains("without \"model_type\""));
    test::scratch folder;
    CHECK_THAT(test::refusal([&] { (void)read_model_config(folder / ""); }),
               Contains("config.json: found no such"));
}

namespace {

std::string written(models::model_family const& family, snug::model_numbers const& numbers) {
    auto const type = models::type_of(family, numbers);
    REQUIRE(type >= 0);
    return model_config_text(family.types[static_cast<std::size_t>(type)], numbers, "bfloat16");
}
snug::model_numbers read_again(std::string const& text, models::model_family const* own = nullptr) {
    test::scratch folder;
    test::write_file(folder / "config.json", text);
    return read_model_config(folder / "", own);
}

}  // namespace

TEST_CASE("a config.json that is written reads as the model it was written of") {
    auto const check = [](models::model_family const& family, snug::model_numbers const& numbers,
                          std::string const& type) {
        auto const text = written(family, numbers);
        CHECK_THAT(text, Contains("\"model_type\": \"" + type + '"'));
        CHECK(read_again(text) == numbers);
    };
    check(models::families::gpt2, models::gpt2_355m::numbers, "gpt2");
    check(models::families::llama, models::smollm2_135m::numbers, "llama");
    check(models::families::llama, models::llama2_70b::numbers, "llama");
    check(models::families::llama, models::llama3_2_1b::numbers, "llama");
    check(models::families::llama, models::qwen2_5_0_5b::numbers, "qwen2");
    check(models::families::qwen3, models::qwen3_0_6b::numbers, "qwen3");
    check(models::families::smollm3, models::smollm3_3b::numbers, "smollm3");
    for (snug::index_t const interval : {0, 1, 5, 36}) {
        auto other = models::smollm3_3b::numbers;
        other.no_rope_interval = interval;
        check(models::families::smollm3, other, "smollm3");
    }
    auto stretched = models::llama2_7b::numbers;
    stretched.rope_scaling = snug::rope::linear<4>::numbers();
    check(models::families::llama, stretched, "llama");
    check(models::families::llama, models::mistral_7b::numbers, "mistral");
    auto windowed = models::qwen2_5_0_5b::numbers;
    windowed.sliding_window = 4096;
    check(models::families::llama, windowed, "qwen2");
}

TEST_CASE("a config.json is written member by member in a fixed order") {
    auto numbers = models::qwen2_5_0_5b::numbers;
    numbers.sliding_window = 77;
    CHECK(written(models::families::llama, numbers) == R"({
  "architectures": ["Qwen2ForCausalLM"],
  "model_type": "qwen2",
  "hidden_act": "silu",
  "vocab_size": 151936,
  "max_position_embeddings": 32768,
  "hidden_size": 896,
  "intermediate_size": 4864,
  "num_hidden_layers": 24,
  "num_attention_heads": 14,
  "num_key_value_heads": 2,
  "head_dim": 64,
  "rms_norm_eps": 1e-06,
  "rope_theta": 1e+06,
  "rope_parameters": {"rope_type": "default", "rope_theta": 1e+06},
  "sliding_window": 77,
  "use_sliding_window": true,
  "max_window_layers": 0,
  "tie_word_embeddings": true,
  "torch_dtype": "bfloat16"
}
)");
    CHECK(written(models::families::gpt2, models::gpt2_124m::numbers) == R"({
  "architectures": ["GPT2LMHeadModel"],
  "model_type": "gpt2",
  "activation_function": "gelu_new",
  "vocab_size": 50257,
  "n_positions": 1024,
  "n_embd": 768,
  "n_layer": 12,
  "n_head": 12,
  "n_inner": 3072,
  "layer_norm_epsilon": 1e-05,
  "tie_word_embeddings": true,
  "torch_dtype": "bfloat16"
}
)");
}

namespace {

// A family of a user's own: Llama's layers with names and keys of its own.
constexpr models::config_number own_numbers[] = {
    {&snug::model_numbers::vocabulary, "tokens", 7}, {&snug::model_numbers::context, "positions", 16},
    {&snug::model_numbers::width, "width", 48},      {&snug::model_numbers::mlp, "inner", 128},
    {&snug::model_numbers::layers, "layers", 2},     {&snug::model_numbers::heads, "heads", 4}};
// Heads of a width of their own, and another base of the rotary frequencies, where a file does not say them.
constexpr models::config_number wide_numbers[] = {
    {&snug::model_numbers::vocabulary, "tokens", 7},   {&snug::model_numbers::context, "positions", 16},
    {&snug::model_numbers::width, "width", 48},        {&snug::model_numbers::mlp, "inner", 128},
    {&snug::model_numbers::layers, "layers", 2},       {&snug::model_numbers::heads, "heads", 4},
    {&snug::model_numbers::head_width, "head_dim", 32}};
constexpr models::config_type wide_types[] = {
    {.model_type = "wide", .numbers = wide_numbers, .is_rotary = true, .rope_theta = 1e6}};
constexpr models::model_family wide{.name = "wide",
                                    .prefix = {},
                                    .blocks = {},
                                    .parameters = {},
                                    .block_parameters = {},
                                    .types = wide_types};
constexpr std::string_view own_activations[] = {"silu"};
constexpr models::config_type own_types[] = {{.model_type = "own",
                                              .architecture = "OwnForCausalLM",
                                              .activation_key = "activation",
                                              .activations = own_activations,
                                              .numbers = own_numbers}};
constexpr models::parameter_in_files own_parameters[] = {{"qkv.weight", "attention.weight", "qkv.weight"}};
constexpr models::model_family own{.name = "own",
                                   .prefix = "transformer.",
                                   .blocks = "layer",
                                   .parameters = {},
                                   .block_parameters = own_parameters,
                                   .types = own_types};

}  // namespace

TEST_CASE("a family of a user's own is read, written and named without a change to the library") {
    snug::model_numbers const numbers{.family = "own",
                                      .layers = 3,
                                      .heads = 4,
                                      .kv_heads = 4,
                                      .head_width = 8,
                                      .width = 32,
                                      .mlp = 64,
                                      .vocabulary = 5,
                                      .context = 6};
    CHECK(read_again(written(own, numbers), &own) == numbers);
    CHECK(read_again(text_of(smollm2), &own) == models::smollm2_135m::numbers);
    CHECK_THAT(test::refusal([&] { (void)read_again(R"({"model_type": "none"})", &own); }),
               Contains(R"(expected "own", "gpt2", "llama", "mistral", "qwen2", "qwen3" or "smollm3")"));
    CHECK_THAT(refused({{"model_type", "\"own\""}}),
               Contains(R"(expected "gpt2", "llama", "mistral", "qwen2", "qwen3" or "smollm3")"));
    CHECK(names_of_families() == "gpt2, llama, qwen3 and smollm3");
    auto const pieces = pieces_of(own, numbers, naming::hugging_face, "qkv.weight", 2, 96);
    REQUIRE(pieces.size() == 1);
    CHECK(pieces[0].tensor == "transformer.layer.2.attention.weight");
    CHECK(pieces[0].count == 96);
}

TEST_CASE("a type has its own defaults of the width of heads and of the rotary base") {
    auto const plain = read_again(R"({"model_type": "wide"})", &wide);
    CHECK(plain.head_width == 32);
    CHECK(plain.rope_theta == 1e6);
    CHECK(read_again(R"({"model_type": "wide", "head_dim": 8})", &wide).head_width == 8);
    CHECK(read_again(R"({"model_type": "wide", "rope_theta": 500})", &wide).rope_theta == 500);
    CHECK(read_again(R"({"model_type": "wide", "width": 50})", &wide).head_width == 32);
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
    char last = 0;  ///< byte of the data

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
        auto data = test::zeros(96 * tensors.size());
        if (!data.empty()) data.back() = last;
        test::write_file(folder / "g", test::gguf::file(all, tensors, data));
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
                                       .sliding_window = -1,
                                       .rope_theta = 1000,
                                       .norm_epsilon = static_cast<double>(1e-5f),
                                       .tied_head = true,
                                       .qkv_bias = false};
    CHECK(tiny_gguf().read() == expected);
    tiny_gguf other;
    other.add("output.weight", {8, 2});
    other.add("blk.0.attn_q.bias", {8});
    other.set("attention.sliding_window", 64);
    other.set("rope.scaling.type", "linear");
    other.set("rope.scaling.original_context_length", 64);
    other.entries["f"] = entry("llama.rope.scaling.factor", type_f32, test::raw(2.f));
    // Of the file, its making and its tokens.
    for (std::string const key : {"general.name", "general.basename", "tokenizer.ggml.pre", "split.x",
                                  "quantize.imatrix.file", "mradermacher.quantized_by", "general.license"})
        other.entries[key] = entry(key, type_text, test::gguf::text("x"));
    other.entries.erase("llama.rope.freq_base");
    other.entries.erase("llama.attention.head_count_kv");
    other.set("expert_count", 0);
    auto changed = expected;
    changed.tied_head = false;
    changed.qkv_bias = true;
    changed.sliding_window = 64;
    changed.rope_scaling.factor = 2;
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
    for (std::string const name : {"expert_count", "expert_used_count", "pooling_type"}) {
        CHECK_THAT(refused([&](auto& f) { f.set(name, 8); }),
                   Contains("the key \"llama." + name + "\" with another value, expected 0"));
        CHECK(refused([&](auto& f) { f.set(name, 0); }).empty());
    }
    // Keys that are not known, or of another architecture.
    for (std::string const key :
         {"llama.final_logit_scale", "llama.embedding_scale", "llama.logit_scale", "llama.attention.scale",
          "llama.attention.layer_norm_epsilon", "llama.rope.scaling.yarn_beta_fast", "llama.x",
          "qwen2.block_count", "adapter.type", "llama", "generals", "x.y"})
        CHECK_THAT(refused([&](auto& f) { f.entries["x"] = entry(key, type_u32, test::u32(1)); }),
                   Contains("the key \"" + key + '"') && Contains("may change the mathematics"));
    CHECK_THAT(refused([](auto& f) {
                   f.entries["x"] = entry("llama.attn_logit_softcapping", type_f32, test::raw(50.f));
               }),
               Contains("llama.attn_logit_softcapping"));
    CHECK(refused([](auto& f) {
              f.entries["x"] = entry("llama.attn_logit_softcapping", type_f32, test::raw(0.f));
          }).empty());
    CHECK_THAT(refused([](auto& f) {
                   f.entries["x"] = entry("general.type", type_text, test::gguf::text("adapter"));
               }),
               Contains("a file of the type \"adapter\""));
    CHECK_THAT(refused([](auto& f) { f.set("rope.scaling.type", "yarn"); }), Contains("scaled by \"yarn\""));
    CHECK(refused([](auto& f) { f.set("rope.scaling.type", "none"); }).empty());
    CHECK_THAT(refused([](auto& f) { f.set("rope.dimension_count", 2); }), Contains("in all 4"));
    CHECK_THAT(refused([](auto& f) {
                   f.set("rope.scaling.type", "none");
                   f.entries["f"] = entry("llama.rope.scaling.factor", type_f32, test::raw(2.f));
               }),
               Contains("expected a factor of 1"));
    CHECK_THAT(refused([](auto& f) {
                   f.entries["f"] = entry("llama.rope.scaling.factor", type_f32, test::raw(-2.f));
               }),
               Contains("llama.rope.scaling.factor = -2"));
    CHECK_THAT(refused([](auto& f) { f.add("rope_freqs.weight", {2}); }), Contains("a factor of 0"));
    CHECK_THAT(refused([](auto& f) { f.add("rope_freqs.weight", {3}); }),
               Contains("F32 [3], expected F32 [2], a factor for each pair"));
    CHECK_THAT(refused([](auto& f) {
                   f.entries["llama.rope.freq_base"] =
                       entry("llama.rope.freq_base", type_f32, test::raw(std::nanf("")));
               }),
               Contains("llama.rope.freq_base = nan"));
    CHECK_THAT(refused([](auto& f) { f.set("attention.head_count_kv", 3); }),
               Contains("a multiple of the 3 key-value heads"));
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

TEST_CASE("a head that is a copy of the table is no head of its own") {
    auto const read = [](std::vector<std::uint64_t> const& dimensions, char last) {
        tiny_gguf file;
        file.add("output.weight", dimensions);
        file.last = last;
        return file.read().tied_head;
    };
    CHECK(read({8, 3}, 0));
    CHECK_FALSE(read({8, 3}, 1));
    CHECK_FALSE(read({24, 1}, 0));
}

namespace {

/// The second cell of the row of docs/weights.md that begins with `first`, as it must be for a list.
std::string documented(std::string const& first) {
    static std::string const page = [] {
        std::ifstream file(SNUG_TEST_DATA "/../../docs/weights.md");
        return std::string(std::istreambuf_iterator<char>(file), {});
    }();
    auto const begin = "\n| " + first + " | ";
    auto const at = page.find(begin);
    if (at == page.npos) return "no row";
    auto const from = at + begin.size();
    return page.substr(from, page.find(" |\n", from) - from);
}
/// The keys in the row of a type; "as llama, and ...": besides those in that one's.
std::set<std::string> documented_keys(std::string const& before, std::string const& type) {
    auto const text = documented(before + type);
    std::set<std::string> keys;
    if (text.starts_with("as ")) keys = documented_keys(before, text.substr(3, text.find(',') - 3));
    for (auto at = text.find('`'); at != text.npos; at = text.find('`', at + 1)) {
        auto const end = text.find('`', at + 1);
        keys.insert(text.substr(at + 1, end - at - 1));
        at = end;
    }
    return keys;
}
std::set<std::string> set_of(auto const& names) { return {names.begin(), names.end()}; }
std::string words_of(auto const& names) {
    std::string text;
    for (auto const name : names) text += (text.empty() ? "`" : ", `") + std::string(name) + '`';
    return text;
}
std::string words_of(auto const& keys, bool with_values) {
    std::string text;
    for (auto const& key : keys)
        if (key.values.empty() != with_values)
            text += (text.empty() ? "`" : ", `") + std::string(key.name) + '`' +
                    (with_values ? " " + std::string(key.values) : "");
    return text;
}

}  // namespace

TEST_CASE("docs/weights.md lists what is understood of a configuration") {
    for (auto const* const family : families)
        for (auto const& type : family->types) {
            CAPTURE(type.model_type);
            CHECK(documented_keys("read, ", std::string(type.model_type)) == set_of(understood_keys(type)));
            if (type.gguf.empty()) continue;
            CHECK(documented_keys("read, behind ", std::string(type.gguf)) ==
                  set_of(understood_keys_of_gguf(type)));
        }
    CHECK(documented("without effect") == words_of(harmless_in_config, false));
    CHECK(documented("without effect, if") == words_of(harmless_in_config, true));
    CHECK(documented("read, behind the architecture") == words_of(understood_of_gguf));
    CHECK(documented("without effect, behind the architecture") == words_of(harmless_in_gguf, false));
    CHECK(documented("without effect, behind the architecture, if") == words_of(harmless_in_gguf, true));
    CHECK(documented("without effect, and all that begin so") == words_of(harmless_groups_in_gguf));
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
