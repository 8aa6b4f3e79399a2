// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include <snug/error.hpp>
#include <snug/io/file.hpp>
#include <snug/io/tokenizer/pre_tokenizer.hpp>
#include <snug/io/tokenizer/tables.hpp>

namespace snug::io {
namespace detail {

/// A value of a JSON file and how to come to it, for refusals.
class json_view {
  public:
    json_view(nlohmann::json const& value, std::string const& file, std::string path = {})
        : value_(&value), file_(&file), path_(std::move(path)) {}

    [[noreturn]] void refuse(std::string const& found, std::string expected) const {
        throw error({*file_}, (path_.empty() ? "" : path_ + ": ") + found, std::move(expected));
    }

    bool is_null() const { return value_->is_null(); }
    bool is_text() const { return value_->is_string(); }
    bool is_array() const { return value_->is_array(); }
    std::string const& file() const { return *file_; }

    /// The member, or null when there is none.
    json_view operator[](char const* key) const {
        static nlohmann::json const nothing;
        require(value_->is_object(), "an object");
        auto const found = value_->find(key);
        return {found == value_->end() ? nothing : *found, *file_, path_.empty() ? key : path_ + "." + key};
    }
    std::string const& text() const {
        require(value_->is_string(), "a string");
        return value_->get_ref<std::string const&>();
    }
    std::int64_t number() const {
        require(value_->is_number_integer() && !(value_->is_number_unsigned() &&
                                                 value_->get<std::uint64_t>() > std::uint64_t{INT64_MAX}),
                "an integer");
        return value_->get<std::int64_t>();
    }
    /// A missing one is false.
    bool flag() const {
        if (is_null()) return false;
        require(value_->is_boolean(), "true or false");
        return value_->get<bool>();
    }
    bool flag_or(bool missing) const { return is_null() ? missing : flag(); }
    /// A missing one is empty.
    std::string_view text_or_empty() const { return is_null() ? std::string_view{} : text(); }

    /// The elements of an array; a missing one has none.
    std::vector<json_view> elements() const {
        std::vector<json_view> result;
        if (is_null()) return result;
        require(is_array(), "an array");
        result.reserve(value_->size());
        for (auto const& element : *value_)
            result.emplace_back(element, *file_, path_ + "[" + std::to_string(result.size()) + "]");
        return result;
    }
    nlohmann::json const& members() const {
        require(value_->is_object(), "an object");
        return *value_;
    }

  private:
    void require(bool holds, std::string expected) const {
        if (!holds) refuse(std::string("a value of the type ") + value_->type_name(), std::move(expected));
    }

    nlohmann::json const* value_;
    std::string const* file_;
    std::string path_;
};

inline nlohmann::json parse_json_file(std::string const& path) {
    mapping const file(path);
    auto const* const text = reinterpret_cast<char const*>(file.bytes().data());
    try {
        return nlohmann::json::parse(text, text + file.bytes().size());
    } catch (nlohmann::json::parse_error const& refused) {
        throw error({path, static_cast<std::int64_t>(refused.byte)}, refused.what(), "JSON");
    }
}

inline bool is_there(std::string const& path) {
    struct ::stat status {};
    if (uninterrupted([&] { return calls().stat(path.c_str(), &status); }) == 0) return true;
    if (errno != ENOENT) refuse_call({path}, "stat");
    return false;
}

/// The steps of a pre-tokenizer of tokenizer.json.
inline void read_steps(json_view const& rule, std::vector<pre_tokenizer::step>& steps, bool& byte_level,
                       int depth = 0) {
    if (depth > 8) rule.refuse("sequences in sequences", "at most 8 deep");
    if (byte_level) rule.refuse("a step after ByteLevel", "ByteLevel as the last one");
    if (steps.size() == 32) rule.refuse("more steps", "at most 32");
    place const where{rule.file()};
    auto const& type = rule["type"].text();
    if (type == "Sequence") {
        for (auto const& next : rule["pretokenizers"].elements())
            read_steps(next, steps, byte_level, depth + 1);
    } else if (type == "Split") {
        auto const pattern = rule["pattern"];
        auto const literal = pattern["Regex"].is_null();
        pre_tokenizer::step step{regex(pattern[literal ? "String" : "Regex"].text(), where, literal)};
        auto const& behavior = rule["behavior"].text();
        if (behavior == "Removed") step.keep_matches = false;
        else if (behavior != "Isolated") rule["behavior"].refuse(printable(behavior), "Isolated or Removed");
        if (rule["invert"].flag()) std::swap(step.keep_matches, step.keep_gaps);
        steps.push_back(std::move(step));
    } else if (type == "Digits") {
        steps.push_back({regex(rule["individual_digits"].flag() ? "\\p{N}" : "\\p{N}+", where)});
    } else if (type == "ByteLevel") {
        // Without an expression of its own it only puts the space: nothing is cut where nothing matches.
        auto const pattern = rule["use_regex"].flag_or(true) ? words_of::gpt2 : std::string_view("(?!)");
        steps.push_back({.expression = regex(pattern, where),
                         .add_prefix_space = rule["add_prefix_space"].flag_or(true)});
        byte_level = true;
    } else {
        rule.refuse("a pre-tokenizer of the type " + printable(type), "Sequence, Split, Digits or ByteLevel");
    }
}

/// "a b" or ["a", "b"].
inline tokenizer_parts::merge read_merge(json_view const& merge, std::size_t rank) {
    if (merge.is_text()) return parts_of_merge(merge.text(), merge.file(), rank);
    auto const both = merge.elements();
    if (both.size() != 2) merge.refuse(std::to_string(both.size()) + " tokens", "two");
    return {both[0].text(), both[1].text()};
}

inline void read_model(json_view const& model, tokenizer_parts& parts) {
    if (auto const type = model["type"]; !type.is_null() && type.text() != "BPE")
        type.refuse(printable(type.text()), "BPE");
    if (auto const dropout = model["dropout"]; !dropout.is_null()) dropout.refuse("a dropout", "none");
    for (auto const* const key : {"continuing_subword_prefix", "end_of_word_suffix"})
        if (!model[key].text_or_empty().empty()) model[key].refuse(printable(model[key].text()), "none");
    if (model["byte_fallback"].flag())
        model["byte_fallback"].refuse("true", "byte-level BPE, which needs none");
    parts.ignore_merges = model["ignore_merges"].flag();
    parts.unknown = model["unk_token"].text_or_empty();
    parts.one_unknown_for_a_run = model["fuse_unk"].flag();
    auto const vocabulary = model["vocab"];
    for (auto const& [letters, id] : vocabulary.members().items())
        parts.vocabulary.push_back(
            {letters, json_view(id, model.file(), "model.vocab." + printable(letters)).number()});
    for (auto const& merge : model["merges"].elements())
        parts.merges.push_back(read_merge(merge, parts.merges.size()));
}

inline void read_added(json_view const& added, tokenizer_parts& parts) {
    for (auto const& token : added.elements()) {
        if (token["single_word"].flag()) token["single_word"].refuse("true", "false");
        added_token const read{token["content"].text(), token["id"].number(), token["special"].flag(),
                               token["lstrip"].flag(), token["rstrip"].flag()};
        (token["normalized"].flag_or(!read.special) ? parts.added_then : parts.added_first).push_back(read);
    }
}

/// What lies beside a tokenizer.json: tokenizer_config.json and chat_template.jinja.
inline void read_neighbours(std::string const& path, tokenizer_parts& parts) {
    auto const folder = path.substr(0, path.rfind('/') + 1);
    if (auto const config_path = folder + "tokenizer_config.json"; is_there(config_path)) {
        auto const config = parse_json_file(config_path);
        json_view const root(config, config_path);
        auto const id_of = [&](char const* key) -> std::optional<std::int64_t> {
            auto const token = root[key];
            if (token.is_null()) return std::nullopt;
            auto const& text = token.is_text() ? token.text() : token["content"].text();
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
        auto const chat = root["chat_template"];
        if (!chat.is_array()) parts.chat_template = chat.text_or_empty();
        else
            for (auto const& one : chat.elements())
                if (one["name"].text() == "default") parts.chat_template = one["template"].text();
    }
    if (auto const template_path = folder + "chat_template.jinja"; is_there(template_path)) {
        mapping const file(template_path);
        parts.chat_template.assign(reinterpret_cast<char const*>(file.bytes().data()), file.bytes().size());
    }
}

}  // namespace detail

/// The tokenizer in a `tokenizer.json` of Hugging Face's `tokenizers`. Padding, truncation and the post-processor (which puts
/// special tokens around a text) are not read.
inline std::shared_ptr<tokenizer_tables const> read_tokenizer_json(std::string const& path) {
    auto const document = detail::parse_json_file(path);
    detail::json_view const root(document, path);
    tokenizer_parts parts;
    parts.file = path;
    if (auto const normalizer = root["normalizer"]; !normalizer.is_null())
        normalizer.refuse("a normalizer of the type " + printable(normalizer["type"].text()), "none");
    bool byte_level = false;
    auto const rules = root["pre_tokenizer"];
    if (!rules.is_null()) detail::read_steps(rules, parts.steps, byte_level);
    if (!byte_level) rules.refuse("no ByteLevel", "a byte-level tokenizer");
    if (auto const decoder = root["decoder"]; !decoder.is_null() && decoder["type"].text() != "ByteLevel")
        decoder.refuse("a decoder of the type " + printable(decoder["type"].text()), "ByteLevel");
    detail::read_model(root["model"], parts);
    detail::read_added(root["added_tokens"], parts);
    detail::read_neighbours(path, parts);
    return detail::tokenizer_builder(std::move(parts)).build();
}

}  // namespace snug::io
