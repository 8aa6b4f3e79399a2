// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include <snug/io/tokenizer.hpp>

#include "../../reference/fixture.hpp"
#include "faults.hpp"

using namespace snug::io;
using Catch::Matchers::Contains;

namespace {
std::string const reference = SNUG_TEST_DATA;

snug_test::fixture const& fixture() {
    static snug_test::fixture const loaded(reference + "/tokenizers.fixture");
    return loaded;
}

std::vector<std::string> strings() {
    std::vector<std::string> result;
    auto next = fixture()["strings"].values.begin();
    for (auto const length : fixture()["lengths"].values) {
        std::string text;
        for (auto i = 0.0; i < length; ++i) text += static_cast<char>(static_cast<unsigned char>(*next++));
        result.push_back(text);
    }
    return result;
}

std::int32_t hash(std::vector<std::int32_t> const& tokens) {
    std::uint64_t value = 0xcbf29ce484222325u;
    for (auto const token : tokens) value = (value ^ static_cast<std::uint32_t>(token)) * 0x100000001b3u;
    return static_cast<std::int32_t>(static_cast<std::uint32_t>(value >> 32) ^
                                     static_cast<std::uint32_t>(value));
}

/// Compares with the tokens of Hugging Face's tokenizers, string by string.
void check(tokenizer const& tested, std::string const& name,
           special_tokens special = special_tokens::recognised) {
    auto const texts = strings();
    auto const& hashes = fixture()[name].values;
    REQUIRE(hashes.size() == texts.size());
    REQUIRE(texts.size() >= 10'000);
    std::size_t different = 0;
    for (std::size_t i = 0; i < texts.size(); ++i) {
        auto const tokens = tested.encode(texts[i], special);
        if (hash(tokens) == static_cast<std::int32_t>(hashes[i])) continue;
        if (++different > 5) continue;
        std::string listed;
        for (auto const token : tokens) listed += " " + std::to_string(token);
        UNSCOPED_INFO(name << " string " << i << " " << printable(texts[i]) << " became" << listed);
    }
    CHECK(different == 0);
}

tokenizer load(std::string const& name) {
    return tokenizer::from_json(reference + "/tokenizers/" + name + ".json");
}

std::string replaced(std::string text, std::string_view old, std::string_view with) {
    auto const at = text.find(old);
    REQUIRE(at != text.npos);
    return text.replace(at, old.size(), with);
}

std::string json_of(std::string const& name) {
    return test::read_file(reference + "/tokenizers/" + name + ".json");
}

/// A tokenizer of this text of a tokenizer.json.
tokenizer of(std::string const& json) {
    test::scratch directory;
    test::write_file(directory / "tokenizer.json", json);
    return tokenizer::from_json(directory / "tokenizer.json");
}
}  // namespace

TEST_CASE("tokens are those of Hugging Face's tokenizers: the rules of GPT-2") {
    check(load("gpt2"), "gpt2");
    check(of(replaced(json_of("gpt2"), "\"add_prefix_space\": false", "\"add_prefix_space\": true")),
          "gpt2.spaced");
}

TEST_CASE("tokens are those of Hugging Face's tokenizers: the rules of SmolLM, bytes without a token") {
    check(load("smollm"), "smollm");
    check(of(replaced(json_of("smollm"), "\"fuse_unk\": false", "\"fuse_unk\": true")), "smollm.fused");
}

TEST_CASE("tokens are those of Hugging Face's tokenizers: the rules of Llama-3, words that no merge makes") {
    check(load("llama3"), "llama3");
    check(load("llama3"), "llama3.plain", special_tokens::plain_text);
}
