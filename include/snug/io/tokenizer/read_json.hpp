// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <snug/error.hpp>
#include <snug/io/file.hpp>
#include <snug/io/json.hpp>
#include <snug/io/tokenizer/pre_tokenizer.hpp>
#include <snug/io/tokenizer/tables.hpp>

namespace snug::io {
namespace detail {

/// The largest known, of 256,000 tokens, is a tenth of it.
inline constexpr std::int64_t longest_json = 256 << 20;

inline bool flag_or(json const& object, char const* key, bool missing) {
    return object.has(key) ? object.at(key).flag() : missing;
}
inline std::string_view text_or_empty(json const& object, char const* key) {
    return object.has(key) ? std::string_view(object.at(key).text()) : std::string_view{};
}
[[noreturn]] inline void refuse_type(json const& object, std::string const& what, std::string expected) {
    object.at("type").refuse(what + " of the type " + printable(object.at("type").text()),
                             std::move(expected));
}

/// The steps of a pre-tokenizer of tokenizer.json; the last is the one that makes it byte-level.
inline void read_steps(json const& rule, std::vector<pre_tokenizer::step>& steps, bool& byte_level) {
    if (byte_level) rule.refuse("a step after ByteLevel", "ByteLevel as the last one");
    if (steps.size() == 32) rule.refuse("more than 32 steps", "fewer");
    auto const& type = rule.at("type").text();
    if (type == "Sequence") {
        for (auto const& next : rule.at("pretokenizers").elements()) read_steps(next, steps, byte_level);
    } else if (type == "Split") {
        auto const& pattern = rule.at("pattern");
        auto const literal = !pattern.has("Regex");
        auto const& text = pattern.at(literal ? "String" : "Regex");
        pre_tokenizer::step step{regex(text.text(), text.where(), literal)};
        auto const& behavior = rule.at("behavior");
        if (behavior.text() == "Removed") step.keep_matches = false;
        else if (behavior.text() != "Isolated")
            behavior.refuse(printable(behavior.text()), "Isolated or Removed");
        if (flag_or(rule, "invert", false)) std::swap(step.keep_matches, step.keep_gaps);
        steps.push_back(std::move(step));
    } else if (type == "Digits") {
        auto const pattern = flag_or(rule, "individual_digits", false) ? words_of::digit : words_of::digits;
        steps.push_back({regex(pattern, rule.where())});
    } else if (type == "ByteLevel") {
        // Without an expression of its own it may still put a space: nothing is cut where nothing matches.
        auto const pattern = flag_or(rule, "use_regex", true) ? words_of::gpt2 : std::string_view("(?!)");
        steps.push_back({.expression = regex(pattern, rule.where()),
                         .add_prefix_space = flag_or(rule, "add_prefix_space", true)});
        byte_level = true;
    } else {
        refuse_type(rule, "a pre-tokenizer", "Sequence, Split, Digits or ByteLevel");
    }
}

/// "a b" or ["a", "b"].
inline tokenizer_parts::merge read_merge(json const& merge, std::size_t rank) {
    if (merge.is_text()) return parts_of_merge(merge.text(), merge.where(), rank);
    auto const& both = merge.elements();
    if (both.size() != 2) merge.refuse("a merge of " + std::to_string(both.size()) + " tokens", "two");
    return {both[0].text(), both[1].text()};
}

inline void read_model(json const& model, tokenizer_parts& parts) {
    if (model.has("type") && model.at("type").text() != "BPE") refuse_type(model, "a model", "BPE");
    if (model.has("dropout")) model.at("dropout").refuse(model.at("dropout").what(), "none");
    for (auto const* const key : {"continuing_subword_prefix", "end_of_word_suffix"})
        if (!text_or_empty(model, key).empty())
            model.at(key).refuse(printable(model.at(key).text()), "none, as byte-level BPE has");
    if (flag_or(model, "byte_fallback", false))
        model.at("byte_fallback").refuse("true", "false, as byte-level BPE has");
    parts.ignore_merges = flag_or(model, "ignore_merges", false);
    parts.unknown = text_or_empty(model, "unk_token");
    parts.one_unknown_for_a_run = flag_or(model, "fuse_unk", false);
    for (auto const& [letters, id] : model.at("vocab").members())
        parts.vocabulary.push_back({letters, id.integer()});
    for (auto const& merge : model.at("merges").elements())
        parts.merges.push_back(read_merge(merge, parts.merges.size()));
}

inline void read_added(json const& root, tokenizer_parts& parts) {
    if (!root.has("added_tokens")) return;
    for (auto const& token : root.at("added_tokens").elements()) {
        if (flag_or(token, "single_word", false)) token.at("single_word").refuse("true", "false");
        added_token read{token.at("content").text(), token.at("id").integer(),
                         flag_or(token, "special", false), flag_or(token, "lstrip", false),
                         flag_or(token, "rstrip", false)};
        auto& list = flag_or(token, "normalized", !read.special) ? parts.added_then : parts.added_first;
        list.push_back(std::move(read));
    }
}

/// What lies beside a tokenizer.json: tokenizer_config.json and chat_template.jinja.
inline void read_neighbours(std::string const& path, tokenizer_parts& parts) {
    auto const folder = path.substr(0, path.rfind('/') + 1);
    if (auto const config_path = folder + "tokenizer_config.json"; is_there(config_path)) {
        auto const config = json_document(config_path, longest_json);
        auto const& root = config.root();
        auto const id_of = [&](char const* key) -> std::optional<std::int64_t> {
            if (!root.has(key)) return std::nullopt;
            auto const& token = root.at(key);
            auto const& text = token.is_text() ? token.text() : token.at("content").text();
            for (auto const* const list : {&parts.added_first, &parts.added_then})
                for (auto const& added : *list)
                    if (added.text == text) return added.id;
            for (auto const& [letters, id] : parts.vocabulary)
                if (letters == text) return id;
            token.refuse(printable(text) + ", which is no token of " + path, "a token");
        };
        parts.begin = id_of("bos_token");
        parts.end = id_of("eos_token");
        // A text, or several by name.
        if (root.has("chat_template")) {
            auto const& chat = root.at("chat_template");
            if (!chat.is_array()) parts.chat_template = chat.text();
            else
                for (auto const& one : chat.elements())
                    if (one.at("name").text() == "default") parts.chat_template = one.at("template").text();
        }
    }
    if (auto const template_path = folder + "chat_template.jinja"; is_there(template_path)) {
        mapping const file(template_path);
        parts.chat_template.assign(reinterpret_cast<char const*>(file.bytes().data()), file.bytes().size());
    }
}

}  // namespace detail

/// The tokenizer in a `tokenizer.json` of Hugging Face's `tokenizers`. Padding, truncation and the post-processor (which
/// puts special tokens around a text) are not read.
inline std::shared_ptr<tokenizer_tables const> read_tokenizer_json(std::string const& path) {
    auto const document = json_document(path, detail::longest_json);
    auto const& root = document.root();
    tokenizer_parts parts;
    parts.file = path;
    if (root.has("normalizer")) detail::refuse_type(root.at("normalizer"), "a normalizer", "none");
    bool byte_level = false;
    if (root.has("pre_tokenizer")) detail::read_steps(root.at("pre_tokenizer"), parts.steps, byte_level);
    if (!byte_level) root.refuse("a pre-tokenizer without ByteLevel", "a byte-level one");
    if (root.has("decoder") && root.at("decoder").at("type").text() != "ByteLevel")
        detail::refuse_type(root.at("decoder"), "a decoder", "ByteLevel");
    detail::read_model(root.at("model"), parts);
    detail::read_added(root, parts);
    detail::read_neighbours(path, parts);
    return detail::tokenizer_builder(std::move(parts)).build();
}

}  // namespace snug::io
