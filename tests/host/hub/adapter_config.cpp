// SPDX-License-Identifier: Apache-2.0
// What adapter_config.json may say: by list, and the list is the documentation's.
#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <map>
#include <snug/hub/adapter_config.hpp>
#include <sstream>
#include <string>

namespace {

using namespace snug;
using engine::peft_rule;

/// What is said of a configuration with these members beside the least; empty when it is accepted.
std::string said_of(std::string const& members, engine::adapter_numbers const& compiled) {
    auto path = (std::filesystem::temp_directory_path() / "snug_config_XXXXXX").string();
    REQUIRE(mkdtemp(path.data()) != nullptr);
    auto const file = path + "/adapter_config.json";
    auto const* const all =
        members.find("target_modules") == members.npos ? R"(, "target_modules": "all-linear")" : "";
    std::ofstream(file) << R"({"peft_type": "LORA")" << all << (members.empty() ? "" : ", ") << members
                        << "}";
    std::string said;
    try {
        io::json_document const config(file, 1 << 24);
        engine::check_adapter_config(config.root(), compiled);
    } catch (error const& refused) {
        said = refused.what();
        CHECK(refused.where().file == file);
        CHECK(refused.where().offset >= 0);
    }
    std::filesystem::remove_all(path);
    return said;
}

/// Two modules of two blocks, with r and alpha of 8, as PEFT has them where a file says nothing.
engine::adapter_numbers const plain{8,
                                    8,
                                    false,
                                    false,
                                    2,
                                    "layers",
                                    {"model.layers.0.self_attn.q_proj", "model.layers.0.mlp.up_proj",
                                     "model.layers.1.self_attn.q_proj", "model.layers.1.mlp.up_proj"}};

}  // namespace

TEST_CASE("a key that would change what an adapter computes is refused by name") {
    REQUIRE(said_of("", plain).empty());
    for (auto const& key : engine::peft_keys) {
        if (key.rule != peft_rule::off) continue;
        auto const name = "\"" + std::string(key.name) + "\"";
        for (auto const* const on : {"true", "1", "[1]", "{\"a\": 1}", "\"a\""}) {
            INFO(name << ": " << on);
            CHECK_THAT(said_of(name + ": " + on, plain),
                       Catch::Contains(name) && Catch::Contains(std::string(key.meaning)));
        }
        for (auto const* const off : {"null", "false", "[]"}) {
            INFO(name << ": " << off);
            CHECK(said_of(name + ": " + off, plain).empty());
        }
        // All the defaults of what is then on.
        CHECK(said_of(name + ": {}", plain).empty() == (key.name == "loftq_config"));
    }
    for (auto const* const stranger : {"\"use_what_is_new\": null", "\"R\": 8", "\"lora_alpha \": 8"})
        CHECK_THAT(said_of(stranger, plain), Catch::Contains("found the key"));
}

TEST_CASE("an initialisation that changes the base is refused by name") {
    for (std::string const how :
         {"pissa", "pissa_niter_16", "olora", "corda", "loftq", "lora_ga", "Gaussian", "", "true"})
        CHECK_THAT(said_of("\"init_lora_weights\": \"" + how + "\"", plain),
                   Catch::Contains("the string \"" + how + "\" for \"init_lora_weights\""));
    CHECK_THAT(said_of("\"init_lora_weights\": 1", plain), Catch::Contains("init_lora_weights"));
    for (auto const* const how :
         {"true", "false", "null", "\"gaussian\"", "\"eva\"", "\"orthogonal\"", "\"mica\""})
        CHECK(said_of(std::string("\"init_lora_weights\": ") + how, plain).empty());
}

TEST_CASE("patterns of rank and alpha that come to the same for every module are accepted") {
    for (auto const* const same :
         {R"("rank_pattern": {"q_proj": 8})", R"("rank_pattern": {}, "alpha_pattern": null)",
          R"("r": 4, "rank_pattern": {"q_proj": 8, "up_proj": 8})",
          R"("r": 4, "rank_pattern": {"self_attn.q_proj": 8, "mlp\\.up_proj$": 8})",
          R"("rank_pattern": {"k_proj": 4, "proj": 4, "^q_proj": 4, "^layers.0.self_attn.q_proj": 4})",
          R"("rank_pattern": {"^model.layers.0.self_attn.q_proj": 8, "(a+)+$": 8})",
          // The first that matches counts, whatever its name.
          R"("rank_pattern": {"q_proj": 8, "layers.1.self_attn.q_proj": 4, "self_attn.q_proj": 4})",
          R"("alpha_pattern": {"up_proj": 8.0}, "lora_alpha": 8.0)"}) {
        INFO(same);
        CHECK(said_of(same, plain) == "");
    }
    std::pair<char const*, char const*> const others[] = {
        {R"("rank_pattern": {"q_proj": 4})", "a pattern of rank_pattern, \"q_proj\", with the number 4"},
        {R"("alpha_pattern": {"up_proj": 32})", "a pattern of alpha_pattern, \"up_proj\""},
        {R"("rank_pattern": {"^model.layers.1.self_attn.q_proj": 4})", "a pattern of rank_pattern"},
        {R"("rank_pattern": {"model.layers.1.self_attn.q.proj": 4})", "a pattern of rank_pattern"},
        // Not run, so it may name anything.
        {R"("rank_pattern": {"(a+)+$": 4})", "a pattern of rank_pattern"},
        {R"("rank_pattern": {"layers.1.self_attn.q_proj": 4, "q_proj": 8})", "a pattern of rank_pattern"},
        {R"("r": 4, "rank_pattern": {"q_proj": 8})", "found r the number 4"},
        {R"("r": 4, "rank_pattern": {".*": 8})", "found r the number 4"},
        {R"("rank_pattern": {"q_proj": "8"})", "a number"},
        {R"("rank_pattern": [])", "an object"},
        {R"("lora_alpha": 16)", "lora_alpha the number 16"}};
    for (auto const& [text, words] : others) {
        INFO(text);
        CHECK_THAT(said_of(text, plain), Catch::Contains(words));
    }
}

TEST_CASE("blocks and modules that a file names are the trainer's, or it is refused") {
    for (auto const* const same :
         {R"("layers_to_transform": [0, 1])",
          R"("layers_to_transform": [1, 0, 2], "layers_pattern": "layers")", R"("layers_to_transform": [])",
          R"("layers_to_transform": null, "layers_pattern": [])",
          R"("target_modules": ["q_proj", "up_proj"])", R"("target_modules": "all-linear")",
          R"("exclude_modules": ["k_proj", "proj", "elf_attn.q_proj"])",
          R"("target_modules": ["self_attn.q_proj", "model.layers.0.mlp.up_proj", "1.mlp.up_proj"])"}) {
        INFO(same);
        CHECK(said_of(same, plain) == "");
    }
    std::pair<char const*, char const*> const others[] = {
        {R"("layers_to_transform": [1])", "without block 0"},
        {R"("layers_to_transform": 0)", "without block 1"},
        {R"("layers_to_transform": "0")", "an integer"},
        {R"("layers_to_transform": [0, 1], "layers_pattern": "h")", "layers_pattern"},
        {R"("target_modules": ["q_proj"])", "without model.layers.0.mlp.up_proj"},
        {R"("target_modules": [])", "target_modules"},
        {R"("target_modules": null)", "no target_modules"},
        {R"("target_modules": ".*\\.(q|up)_proj")", "an expression is not run"},
        {R"("target_modules": "q_proj")", "an expression is not run"},
        {R"("exclude_modules": ".*v_proj")", "an expression is not run"},
        {R"("target_modules": [7])", "a string"},
        {R"("exclude_modules": ["up_proj"])", "exclude_modules"}};
    for (auto const& [text, words] : others) {
        INFO(text);
        CHECK_THAT(said_of(text, plain), Catch::Contains(words));
    }
    // A model of one block may be named by a number.
    CHECK(
        said_of(R"("layers_to_transform": 0)", {8, 8, false, false, 1, "h", {"transformer.h.0.attn.c_attn"}})
            .empty());
}

TEST_CASE("what says nothing about an adapter's numbers is passed over, and the rest is compared") {
    for (auto const& key : engine::peft_keys)
        if (key.rule == peft_rule::any)
            CHECK(said_of("\"" + std::string(key.name) + "\": \"anything\"", plain).empty());
    std::pair<char const*, char const*> const others[] = {
        {R"("bias": "all")", "biases"},           {R"("task_type": "SEQ_CLS")", "SEQ_CLS"},
        {R"("use_dora": true)", "use_dora true"}, {R"("use_rslora": true)", "use_rslora true"},
        {R"("lora_dropout": 2)", "a part"},       {R"("lora_dropout": "0")", "a number"}};
    for (auto const& [text, words] : others) CHECK_THAT(said_of(text, plain), Catch::Contains(words));
    for (auto const* const same : {R"("bias": "none")", R"("task_type": "CAUSAL_LM")", R"("task_type": null)",
                                   R"("lora_dropout": 0.1)", R"("use_dora": false, "use_rslora": null)"})
        CHECK(said_of(same, plain).empty());
}

TEST_CASE("patterns and lists of a hostile length take no time") {
    std::string patterns, names;
    for (int i = 0; i < 100000; ++i) {
        patterns += (i ? ", \"x" : "\"x") + std::to_string(i) + "\": 8";
        names += (i ? ", \"x" : "\"x") + std::to_string(i) + "\"";
    }
    CHECK_THAT(said_of("\"rank_pattern\": {" + patterns + "}", plain), Catch::Contains("patterns"));
    CHECK_THAT(said_of("\"exclude_modules\": [" + names + "]", plain), Catch::Contains("names"));
}

TEST_CASE(
    "the documentation lists the keys of an adapter's configuration that are understood, and no others") {
    std::ifstream file(std::string(SNUG_TEST_DATA) + "/../../docs/adapters.md");
    std::string line;
    bool is_inside = false;
    std::map<std::string, peft_rule> documented;
    // Keys in the first column; the second one says "null, false or empty", "anything", or what is compared.
    while (std::getline(file, line)) {
        if (line.starts_with("| key of `adapter_config.json`")) is_inside = true;
        else if (is_inside && !line.starts_with("|")) break;
        else if (is_inside && line.find('`') != line.npos) {
            auto const second = line.find(" | ");
            auto const accepted = line.substr(second + 3);
            auto const rule = accepted.starts_with("null, false or empty") ? peft_rule::off
                              : accepted.starts_with("anything")           ? peft_rule::any
                                                                           : peft_rule::read;
            std::istringstream keys(line.substr(0, second));
            std::string part;
            for (bool is_key = false; std::getline(keys, part, '`'); is_key = !is_key)
                if (is_key) CHECK(documented.emplace(part, rule).second);
        }
    }
    std::map<std::string, peft_rule> known;
    for (auto const& key : engine::peft_keys) known.emplace(key.name, key.rule);
    for (auto const& [key, rule] : known) {
        INFO(key);
        CHECK((documented.contains(key) && documented[key] == rule));
    }
    for (auto const& [key, rule] : documented) {
        INFO(key);
        CHECK(known.contains(key));
    }
}
