// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <iterator>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <unordered_map>
#include <utility>
#include <vector>

#include <snug/data/tokenizer/added_tokens.hpp>
#include <snug/data/tokenizer/normalizer.hpp>
#include <snug/data/tokenizer/pre_tokenizer.hpp>
#include <snug/data/tokenizer/tables.hpp>
#include <snug/error.hpp>
#include <snug/io/file.hpp>
#include <snug/io/json.hpp>

namespace snug::SNUG_TARGET::io {
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

/// Refuses a member of an object that is not on the list: what a key means that is not known can't be left out. Null says
/// nothing.
inline void only(json const& object, std::initializer_list<std::string_view> known) {
    for (auto const& [key, value] : object.members())
        if (!value.is_null() && std::find(known.begin(), known.end(), key) == known.end())
            value.refuse(value.what(),
                         "no such key, as its meaning is not known (docs/tokenizer.md lists those that are)");
}

/// The steps of a pre-tokenizer of tokenizer.json; the last is the one that makes it byte-level.
inline void read_steps(json const& rule, std::vector<pre_tokenizer::step>& steps, bool& byte_level) {
    if (byte_level) rule.refuse("a step after ByteLevel", "ByteLevel as the last one");
    if (steps.size() == 32) rule.refuse("more than 32 steps", "fewer");
    auto const& type = rule.at("type").text();
    if (type == "Sequence") {
        only(rule, {"type", "pretokenizers"});
        for (auto const& next : rule.at("pretokenizers").elements()) read_steps(next, steps, byte_level);
    } else if (type == "Split") {
        only(rule, {"type", "pattern", "behavior", "invert"});
        auto const& pattern = rule.at("pattern");
        only(pattern, {"Regex", "String"});
        if (pattern.has("Regex") && pattern.has("String"))
            pattern.refuse("a pattern that is both Regex and String", "one of them");
        auto const literal = !pattern.has("Regex");
        auto const& text = pattern.at(literal ? "String" : "Regex");
        if (literal && text.text().empty()) text.refuse("an empty text to split at", "a character at least");
        pre_tokenizer::step step{regex(text.text(), text.where(), literal)};
        auto const& behavior = rule.at("behavior");
        if (behavior.text() == "Removed") step.keep_matches = false;
        else if (behavior.text() != "Isolated")
            behavior.refuse(printable(behavior.text()), "Isolated or Removed");
        if (flag_or(rule, "invert", false)) std::swap(step.keep_matches, step.keep_gaps);
        steps.push_back(std::move(step));
    } else if (type == "Digits") {
        only(rule, {"type", "individual_digits"});
        auto const pattern = flag_or(rule, "individual_digits", false) ? words_of::digit : words_of::digits;
        steps.push_back({regex(pattern, rule.where())});
    } else if (type == "ByteLevel") {
        // trim_offsets is about offsets, not about tokens.
        only(rule, {"type", "add_prefix_space", "trim_offsets", "use_regex"});
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

/// The forms that a normalizer of tokenizer.json puts a text into, one after the other.
inline void read_normalizer(json const& rule, std::vector<unicode_form>& forms) {
    if (forms.size() == 32) rule.refuse("more than 32 normalizers", "fewer");
    auto const& type = rule.at("type").text();
    if (type == "Sequence") {
        only(rule, {"type", "normalizers"});
        for (auto const& next : rule.at("normalizers").elements()) read_normalizer(next, forms);
        return;
    }
    only(rule, {"type"});
    if (type == "NFC") forms.push_back(unicode_form::nfc);
    else if (type == "NFD") forms.push_back(unicode_form::nfd);
    else if (type == "NFKC") forms.push_back(unicode_form::nfkc);
    else if (type == "NFKD") forms.push_back(unicode_form::nfkd);
    else refuse_type(rule, "a normalizer", "Sequence, NFC, NFD, NFKC or NFKD");
}

/// What stands around a text is not put there, and what cuts or fills it up is not done: all of it has to be of a known kind
/// that does nothing else.
inline void check_post_processor(json const& rule, int depth = 0) {
    auto const& type = rule.at("type").text();
    if (type == "Sequence") {
        if (depth == 32) rule.refuse("post-processors that are nested 32 deep", "fewer");
        only(rule, {"type", "processors"});
        for (auto const& next : rule.at("processors").elements()) check_post_processor(next, depth + 1);
    } else if (type == "ByteLevel") {
        only(rule, {"type", "add_prefix_space", "trim_offsets", "use_regex"});
    } else if (type == "TemplateProcessing") {
        only(rule, {"type", "single", "pair", "special_tokens"});
    } else if (type == "BertProcessing" || type == "RobertaProcessing") {
        only(rule, {"type", "sep", "cls", "add_prefix_space", "trim_offsets"});
    } else {
        refuse_type(rule, "a post-processor",
                    "Sequence, ByteLevel, TemplateProcessing, BertProcessing or RobertaProcessing");
    }
}

inline void read_model(json const& model, tokenizer_parts& parts) {
    only(model, {"type", "dropout", "unk_token", "continuing_subword_prefix", "end_of_word_suffix",
                 "fuse_unk", "byte_fallback", "ignore_merges", "vocab", "merges"});
    if (model.has("type") && model.at("type").text() != "BPE") refuse_type(model, "a model", "BPE");
    if (model.has("dropout") && model.at("dropout").real() != 0)
        model.at("dropout").refuse(model.at("dropout").what(), "none");
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

inline added_token read_added_token(json const& token, std::int64_t id, bool& normalized) {
    if (flag_or(token, "single_word", false)) token.at("single_word").refuse("true", "false");
    added_token read{token.at("content").text(), id, flag_or(token, "special", false),
                     flag_or(token, "lstrip", false), flag_or(token, "rstrip", false)};
    normalized = flag_or(token, "normalized", !read.special);
    return read;
}

/// What `tokenizers` makes of the id of an added token: that of the vocabulary, or the next one. It does not look at the file's.
class next_ids {
  public:
    explicit next_ids(tokenizer_parts const& parts) {
        for (auto const& token : parts.vocabulary) known_.emplace(token.letters, token.id);
        size_ = static_cast<std::int64_t>(known_.size());
    }
    /// Of a token of the vocabulary the id stays as it was read, to be compared with that.
    void number(added_token& token) {
        token.stated_id = token.id;
        if (!known_.contains(token.text)) token.id = std::max(size_, largest_ + 1);
        largest_ = std::max(largest_, token.id);
    }

  private:
    std::unordered_map<std::string_view, std::int64_t, keyed_hash> known_;
    std::int64_t size_ = 0, largest_ = -1;
};

inline void read_added(json const& root, tokenizer_parts& parts, next_ids& ids) {
    if (!root.has("added_tokens")) return;
    for (auto const& token : root.at("added_tokens").elements()) {
        only(token, {"id", "content", "single_word", "lstrip", "rstrip", "normalized", "special"});
        bool normalized = false;
        auto read = read_added_token(token, token.at("id").integer(), normalized);
        ids.number(read);
        (normalized ? parts.added_then : parts.added_first).push_back(std::move(read));
    }
}

/// Tokens of a tokenizer_config.json, by their ids: those that tokenizer.json has must be the same there, the others are
/// added.
inline void read_added_decoder(json const& decoder, tokenizer_parts& parts, next_ids& ids) {
    std::unordered_map<std::string_view, std::pair<added_token const*, bool>, keyed_hash> known;
    for (auto const* const list : {&parts.added_first, &parts.added_then})
        for (auto const& token : *list)
            known.emplace(token.text, std::pair(&token, list == &parts.added_then));
    std::vector<std::pair<added_token, bool>> more;
    for (auto const& [key, token] : decoder.members()) {
        only(token, {"content", "single_word", "lstrip", "rstrip", "normalized", "special", "__type"});
        std::int64_t id = 0;
        auto const [end, fault] = std::from_chars(key.data(), key.data() + key.size(), id);
        if (fault != std::errc{} || end != key.data() + key.size() || id < 0)
            token.refuse("a token with the id " + printable(key), "a number");
        bool normalized = false;
        auto read = read_added_token(token, id, normalized);
        auto const other = known.find(read.text);
        if (other == known.end()) {
            more.emplace_back(std::move(read), normalized);
            continue;
        }
        auto const& [there, then] = other->second;
        if (there->stated_id != read.id || there->special != read.special ||
            there->left_strip != read.left_strip || there->right_strip != read.right_strip ||
            then != normalized)
            token.refuse("the token " + printable(read.text) +
                             " with another id, special, lstrip, rstrip or normalized",
                         "what " + parts.file + " says of it");
    }
    std::ranges::sort(more, {}, [](auto const& one) { return one.first.id; });
    for (auto& [token, normalized] : more) {
        ids.number(token);
        (normalized ? parts.added_then : parts.added_first).push_back(std::move(token));
    }
}

/// The added tokens of a tokenizer and their ids. The views are of the tokens' texts.
using added_ids = std::unordered_map<std::string_view, std::int64_t, keyed_hash>;
inline added_ids ids_of_added(tokenizer_parts const& parts) {
    added_ids ids;
    for (auto const* const list : {&parts.added_first, &parts.added_then})
        for (auto const& token : *list) ids.emplace(token.text, token.id);
    return ids;
}

/// A token that a tokenizer_config.json names: its text, or an object that has it.
inline std::string_view named_text(json const& named) {
    return named.is_text() ? named.text() : named.at("content").text();
}

/// Special tokens that a tokenizer_config.json names, one or several, are added tokens: transformers adds what is none.
inline void require_added(json const& named, std::string_view key, added_ids const& added) {
    if (named.is_array()) {
        for (auto const& one : named.elements()) require_added(one, key, added);
    } else if (named.is_object() && named.find("content") == nullptr) {
        for (auto const& [name, one] : named.members()) require_added(one, key, added);
    } else if ((named.is_text() || named.is_object()) && !added.contains(named_text(named))) {
        named.refuse(printable(named_text(named)) + " as " + std::string(key),
                     "one of the added tokens: transformers would add it, and find it in texts");
    }
}

/// Keys of a tokenizer_config.json that do not change the tokens of a text: what they name is said elsewhere too, or is
/// about batches, about decoding as transformers does it, or about where things were found.
inline constexpr std::string_view harmless_in_tokenizer_config[] = {"_commit_hash",
                                                                    "_from_auto",
                                                                    "_name_or_path",
                                                                    "add_bos_token",
                                                                    "add_eos_token",
                                                                    "additional_special_tokens",
                                                                    "audio_bos_token",
                                                                    "audio_eos_token",
                                                                    "audio_token",
                                                                    "backend",
                                                                    "boi_token",
                                                                    "bos_token_id",
                                                                    "chat_template_file",
                                                                    "clean_up_tokenization_spaces",
                                                                    "cls_token",
                                                                    "cls_token_id",
                                                                    "device_map",
                                                                    "eoi_token",
                                                                    "eom_token",
                                                                    "eos_token_id",
                                                                    "eot_token",
                                                                    "errors",
                                                                    "extra_special_tokens",
                                                                    "fill_token",
                                                                    "image_token",
                                                                    "init_inputs",
                                                                    "is_local",
                                                                    "legacy",
                                                                    "local_files_only",
                                                                    "mask_token",
                                                                    "mask_token_id",
                                                                    "max_len",
                                                                    "max_length",
                                                                    "merges_file",
                                                                    "middle_token",
                                                                    "model_input_names",
                                                                    "model_max_length",
                                                                    "model_specific_special_tokens",
                                                                    "name",
                                                                    "name_or_path",
                                                                    "pad_to_multiple_of",
                                                                    "pad_token",
                                                                    "pad_token_id",
                                                                    "pad_token_type_id",
                                                                    "padding",
                                                                    "padding_side",
                                                                    "prefix_token",
                                                                    "processor_class",
                                                                    "response_schema",
                                                                    "return_token_type_ids",
                                                                    "sep_token",
                                                                    "sep_token_id",
                                                                    "sp_model_kwargs",
                                                                    "spaces_between_special_tokens",
                                                                    "special_tokens_map_file",
                                                                    "stride",
                                                                    "suffix_token",
                                                                    "tokenizer_class",
                                                                    "tokenizer_file",
                                                                    "tokenizer_version",
                                                                    "transformers_version",
                                                                    "trim_offsets",
                                                                    "truncation",
                                                                    "truncation_side",
                                                                    "truncation_strategy",
                                                                    "unk_token",
                                                                    "unk_token_id",
                                                                    "use_default_system_prompt",
                                                                    "use_fast",
                                                                    "verbose",
                                                                    "video_token",
                                                                    "vision_bos_token",
                                                                    "vision_eos_token",
                                                                    "vocab_file"};

/// Keys that would change the tokens or the text, and are harmless when false.
inline constexpr std::string_view harmless_when_false[] = {
    "add_dummy_prefix_space", "do_basic_tokenize", "do_lower_case",
    "fix_mistral_regex",      "from_slow",         "remove_space",
    "split_special_tokens",   "strip_accents",     "tokenize_chinese_chars",
    "trust_remote_code"};

inline void check_config(json const& root, tokenizer_parts const& parts) {
    constexpr std::string_view read[] = {"bos_token", "eos_token", "chat_template", "added_tokens_decoder"};
    auto const among = [](auto const& list, std::string_view key) {
        return std::find(std::begin(list), std::end(list), key) != std::end(list);
    };
    for (auto const& [key, value] : root.members()) {
        if (value.is_null() || among(read, key) || among(harmless_in_tokenizer_config, key)) continue;
        if (key == "add_prefix_space") {
            // transformers lets it overrule tokenizer.json.
            auto const there = std::any_of(parts.steps.begin(), parts.steps.end(),
                                           [](auto const& step) { return step.add_prefix_space; });
            if (value.flag() != there)
                value.refuse(value.what(), "what the pre-tokenizer of " + parts.file + " says");
        } else if (among(harmless_when_false, key)) {
            if (value.flag()) value.refuse("true", "false");
        } else if (key == "auto_map") {
            value.refuse("a tokenizer that is a program", "one that is read from its files");
        } else {
            value.refuse(value.what(),
                         "no such key, as its meaning is not known (docs/tokenizer.md lists those that are)");
        }
    }
}

/// A template by itself, or several by name.
inline std::string default_template(json const& chat) {
    if (!chat.is_array()) return chat.text();
    for (auto const& one : chat.elements())
        if (one.at("name").text() == "default") return one.at("template").text();
    chat.refuse("several templates of which none is named default", "one that is");
}

/// What lies beside a tokenizer.json: tokenizer_config.json and chat_template.jinja.
inline void read_neighbours(std::string const& path, tokenizer_parts& parts, next_ids& ids) {
    auto const folder = path.substr(0, path.rfind('/') + 1);
    if (auto const config_path = folder + "tokenizer_config.json"; is_there(config_path)) {
        auto const config = json_document(config_path, longest_json);
        auto const& root = config.root();
        check_config(root, parts);
        if (root.has("added_tokens_decoder")) read_added_decoder(root.at("added_tokens_decoder"), parts, ids);
        auto const added = ids_of_added(parts);
        for (auto const& [key, value] : root.members())
            if (key.ends_with("_token") || key.ends_with("special_tokens")) require_added(value, key, added);
        auto const id_of = [&](char const* key) -> std::optional<std::int64_t> {
            if (!root.has(key)) return std::nullopt;
            return added.at(named_text(root.at(key)));
        };
        parts.begin = id_of("bos_token");
        parts.end = id_of("eos_token");
        if (root.has("chat_template")) parts.chat_template = default_template(root.at("chat_template"));
    }
    if (auto const template_path = folder + "chat_template.jinja"; is_there(template_path)) {
        constexpr std::int64_t longest = 1 << 20;
        mapping const file(template_path);
        if (file.size() > checked(longest))
            throw error({template_path}, "a template of " + std::to_string(file.size().value()) + " bytes",
                        "at most " + std::to_string(longest));
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
    detail::only(root, {"version", "truncation", "padding", "added_tokens", "normalizer", "pre_tokenizer",
                        "post_processor", "decoder", "model"});
    if (root.has("version") && root.at("version").text() != "1.0")
        root.at("version").refuse(root.at("version").what(), "1.0");
    if (root.has("normalizer")) detail::read_normalizer(root.at("normalizer"), parts.forms);
    if (root.has("post_processor")) detail::check_post_processor(root.at("post_processor"));
    bool byte_level = false;
    if (root.has("pre_tokenizer")) detail::read_steps(root.at("pre_tokenizer"), parts.steps, byte_level);
    if (!byte_level) root.refuse("a pre-tokenizer without ByteLevel", "a byte-level one");
    if (root.has("decoder") && root.at("decoder").at("type").text() != "ByteLevel")
        detail::refuse_type(root.at("decoder"), "a decoder", "ByteLevel");
    if (root.has("decoder"))
        detail::only(root.at("decoder"), {"type", "add_prefix_space", "trim_offsets", "use_regex"});
    detail::read_model(root.at("model"), parts);
    detail::next_ids ids(parts);
    detail::read_added(root, parts, ids);
    detail::read_neighbours(path, parts, ids);
    return detail::tokenizer_builder(std::move(parts)).build();
}

}  // namespace snug::SNUG_TARGET::io
