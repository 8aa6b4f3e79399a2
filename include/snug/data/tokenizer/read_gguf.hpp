// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <snug/data/tokenizer/normalizer.hpp>
#include <snug/data/tokenizer/pre_tokenizer.hpp>
#include <snug/data/tokenizer/tables.hpp>
#include <snug/error.hpp>
#include <snug/io/file.hpp>
#include <snug/io/gguf.hpp>

namespace snug::SNUG_TARGET::io {

namespace detail {

/// Keys under `tokenizer.` of a GGUF file that are read, and those that do not change the tokens of a text.
inline constexpr std::string_view known_in_gguf[] = {
    "tokenizer.chat_template",           "tokenizer.ggml.add_bos_token",
    "tokenizer.ggml.add_eos_token",      "tokenizer.ggml.add_sep_token",
    "tokenizer.ggml.add_space_prefix",   "tokenizer.ggml.bos_token_id",
    "tokenizer.ggml.cls_token_id",       "tokenizer.ggml.eom_token_id",
    "tokenizer.ggml.eos_token_id",       "tokenizer.ggml.eot_token_id",
    "tokenizer.ggml.fim_mid_token_id",   "tokenizer.ggml.fim_pad_token_id",
    "tokenizer.ggml.fim_pre_token_id",   "tokenizer.ggml.fim_rep_token_id",
    "tokenizer.ggml.fim_sep_token_id",   "tokenizer.ggml.fim_suf_token_id",
    "tokenizer.ggml.mask_token_id",      "tokenizer.ggml.merges",
    "tokenizer.ggml.middle_token_id",    "tokenizer.ggml.model",
    "tokenizer.ggml.padding_token_id",   "tokenizer.ggml.pre",
    "tokenizer.ggml.prefix_token_id",    "tokenizer.ggml.scores",
    "tokenizer.ggml.separator_token_id", "tokenizer.ggml.seperator_token_id",
    "tokenizer.ggml.suffix_token_id",    "tokenizer.ggml.token_type",
    "tokenizer.ggml.token_type_count",   "tokenizer.ggml.tokens",
    "tokenizer.ggml.unknown_token_id",   "tokenizer.huggingface.json"};

inline void check_gguf_keys(gguf const& file) {
    for (auto const key : file.keys()) {
        if (!key.starts_with("tokenizer.") || key.starts_with("tokenizer.chat_template.") ||
            key == "tokenizer.chat_templates" ||
            std::find(std::begin(known_in_gguf), std::end(known_in_gguf), key) != std::end(known_in_gguf))
            continue;
        if (key == "tokenizer.ggml.remove_extra_whitespaces" && !file.flag(key)) continue;
        throw error({file.path()}, "the key " + printable(key) + " with a value that is not known",
                    "no such key (docs/tokenizer.md lists those that are known)");
    }
}

}  // namespace detail

/// The tokenizer in a GGUF file: the keys `tokenizer.ggml.*` of ggml's docs/gguf.md, and `tokenizer.ggml.pre`, llama.cpp's
/// name for the rules that cut a text into words.
inline std::shared_ptr<tokenizer_tables const> read_tokenizer_gguf(gguf const& file) {
    tokenizer_parts parts;
    parts.file = file.path();
    auto const refuse = [&](std::string found, std::string expected) {
        throw error({file.path()}, std::move(found), std::move(expected));
    };

    if (auto const model = file.text("tokenizer.ggml.model"); model != "gpt2")
        refuse("a tokenizer of the model " + printable(model), "gpt2, byte-level BPE");
    detail::check_gguf_keys(file);
    auto const pre = file.text("tokenizer.ggml.pre");
    auto const step = [&](std::string_view pattern) {
        parts.steps.push_back({regex(pattern, {file.path()})});
    };
    constexpr std::string_view gpt2[] = {"gpt-2", "gpt2", "phi-2", "roberta-bpe", "modern-bert", "mellum"};
    constexpr std::string_view llama3[] = {"llama-bpe", "llama3", "llama-v3", "pixtral", "lfm2", "falcon3"};
    constexpr std::string_view qwen2[] = {"qwen2", "megrez"};
    auto const among = [](auto const& names, std::string_view name) {
        return std::find(std::begin(names), std::end(names), name) != std::end(names);
    };
    if (among(gpt2, pre)) {
        step(words_of::gpt2);
    } else if (pre == "smollm") {
        step(words_of::digit);
        step(words_of::gpt2);
    } else if (among(llama3, pre)) {
        step(words_of::llama3);
        parts.ignore_merges = true;
    } else if (among(qwen2, pre)) {
        // As in Qwen2's tokenizer.json; llama.cpp leaves it out.
        parts.forms.push_back(unicode_form::nfc);
        step(words_of::qwen2);
    } else if (pre == "deepseek-r1-qwen") {
        step(words_of::qwen2);
    } else {
        refuse("tokenizer.ggml.pre " + printable(pre),
               "gpt-2, smollm, llama-bpe, qwen2 or another name of these");
    }
    if (file.has("tokenizer.ggml.add_space_prefix") && file.flag("tokenizer.ggml.add_space_prefix"))
        parts.steps.front().add_prefix_space = true;

    auto const texts = file.texts("tokenizer.ggml.tokens");
    auto const types = file.has("tokenizer.ggml.token_type") ? file.numbers("tokenizer.ggml.token_type")
                                                             : std::vector<std::int64_t>(texts.size(), 1);
    if (types.size() != texts.size())
        refuse(std::to_string(types.size()) + " token types",
               std::to_string(texts.size()) + ", one for each token");
    // 1 a token like others, 2 the unknown one, 5 unused; 6 is a byte, which byte-level BPE has no use for.
    constexpr std::int64_t control = 3, user_defined = 4, unused = 5;
    for (std::size_t i = 0; i < texts.size(); ++i) {
        auto const id = static_cast<std::int64_t>(i);
        if (types[i] < 1 || types[i] > unused)
            refuse("token " + std::to_string(i) + " of the type " + std::to_string(types[i]), "1 to 5");
        parts.vocabulary.push_back({texts[i], id});
        if (types[i] == control || types[i] == user_defined)
            parts.added_first.push_back({std::string(texts[i]), id, types[i] == control});
    }

    auto const merges = file.texts("tokenizer.ggml.merges");
    for (auto const merge : merges)
        parts.merges.push_back(detail::parts_of_merge(merge, {file.path()}, parts.merges.size()));

    auto const number = [&](char const* key) -> std::optional<std::int64_t> {
        if (!file.has(key)) return std::nullopt;
        return file.number(key);
    };
    parts.begin = number("tokenizer.ggml.bos_token_id");
    parts.end = number("tokenizer.ggml.eos_token_id");
    if (file.has("tokenizer.chat_template")) parts.chat_template = file.text("tokenizer.chat_template");
    return detail::tokenizer_builder(std::move(parts)).build();
}

}  // namespace snug::SNUG_TARGET::io
