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
#include <snug/io/gguf.hpp>
#include <snug/io/tokenizer/pre_tokenizer.hpp>
#include <snug/io/tokenizer/tables.hpp>

namespace snug::io {

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
    auto const pre = file.text("tokenizer.ggml.pre");
    auto const step = [&](std::string_view pattern) {
        parts.steps.push_back({regex(pattern, {file.path()})});
    };
    if (pre == "gpt-2") {
        step(words_of::gpt2);
    } else if (pre == "smollm") {
        step(words_of::digit);
        step(words_of::gpt2);
    } else if (pre == "llama-bpe") {
        step(words_of::llama3);
        parts.ignore_merges = true;
    } else if (pre == "qwen2") {
        step(words_of::qwen2);
    } else {
        refuse("tokenizer.ggml.pre " + printable(pre), "gpt-2, smollm, llama-bpe or qwen2");
    }
    if (file.has("tokenizer.ggml.add_space_prefix") && file.flag("tokenizer.ggml.add_space_prefix"))
        parts.steps.front().add_prefix_space = true;

    auto const texts = file.texts("tokenizer.ggml.tokens");
    auto const types = file.has("tokenizer.ggml.token_type") ? file.numbers("tokenizer.ggml.token_type")
                                                             : std::vector<std::int64_t>(texts.size(), 1);
    if (types.size() != texts.size())
        refuse(std::to_string(types.size()) + " token types",
               std::to_string(texts.size()) + ", one for each token");
    constexpr std::int64_t control = 3, user_defined = 4;
    for (std::size_t i = 0; i < texts.size(); ++i) {
        auto const id = static_cast<std::int64_t>(i);
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

}  // namespace snug::io
