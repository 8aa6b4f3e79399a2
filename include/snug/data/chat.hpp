// SPDX-License-Identifier: Apache-2.0
#pragma once

/// \file
/// Needs PCRE2 (link snug::tokenizer).

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <snug/data/chat_template.hpp>
#include <snug/data/tokenizer.hpp>
#include <snug/error.hpp>
#include <snug/io/file.hpp>

namespace snug::SNUG_TARGET::io {

/// One turn of a conversation.
struct message {
    std::string role;  ///< "system", "user", "assistant", ...: a word
    std::string content;
    bool counts = true;  ///< false: what the assistant says here is not learnt
};

/// Tokens to learn from.
struct example {
    std::vector<std::int32_t> tokens;
    std::vector<bool> counted;  ///< of each token, whether predicting it is a part of the loss
};

/// ChatML, as SmolLM2-Instruct is trained on it: each message is `<|im_start|>ROLE\nCONTENT<|im_end|>\n`.
///
/// The tokens are those of the whole text, but for one thing: a special token that is written out in a message is plain
/// text, so that no message can end itself and speak for another role.
class chatml {
  public:
    /// `system`: the system message of a conversation that brings none, empty for none; without it the one of the tokenizer's
    /// own chat template, if that has one. Throws when the template is not ChatML as it is written here, or the vocabulary has no
    /// `<|im_start|>` or no `<|im_end|>`.
    explicit chatml(tokenizer tokens, std::optional<std::string> system = {})
        : tokenizer_(std::move(tokens)),
          system_(system_of(tokenizer_, std::move(system))),
          start_(tokenizer_.id_of("<|im_start|>")),
          end_(tokenizer_.id_of("<|im_end|>")),
          line_break_(tokenizer_.encode("\n")) {}

    /// A conversation to learn from: what the assistant says counts, unless its message says otherwise, with the
    /// `<|im_end|>` behind it. Throws when there is no message, or a role that is not a word.
    example conversation(std::span<message const> messages) const {
        if (messages.empty()) throw error({}, "a conversation without a message", "at least one");
        example result;
        if (messages.front().role != "system" && !system_.empty()) add({"system", system_, true}, result);
        for (auto const& message : messages) add(message, result);
        return result;
    }

    /// The conversation so far and the beginning of the assistant's reply, for a model to go on from. A reply is at its end
    /// with `end_of_reply()`.
    std::vector<std::int32_t> prompt(std::span<message const> messages) const {
        auto tokens = conversation(messages).tokens;
        tokens.push_back(start_);
        append(tokenizer_.encode("assistant\n"), tokens);
        return tokens;
    }

    std::int32_t end_of_reply() const noexcept { return end_; }

  private:
    static std::string system_of(tokenizer const& tokens, std::optional<std::string> given) {
        auto const& source = tokens.chat_template();
        auto const own = source.empty() ? std::optional(chatml_template{}) : read_chatml_template(source);
        if (!own)
            throw error(
                {tokens.path()}, "a chat template that is not ChatML",
                "none, or <|im_start|>, role, line break, content, <|im_end|> and line break for each "
                "message, with at most a system message before them: others are not implemented");
        if (!given && tokens.encode(own->system) != tokens.encode(own->system, special_tokens::plain_text))
            throw error({tokens.path()}, "a chat template whose system message has special tokens in it",
                        "a text: special tokens are plain text in a message");
        return given ? std::move(*given) : own->system;
    }

    static void append(std::vector<std::int32_t> const& more, std::vector<std::int32_t>& tokens) {
        tokens.insert(tokens.end(), more.begin(), more.end());
    }

    void add(message const& message, example& to) const {
        auto const word = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; };
        if (message.role.empty() || !std::all_of(message.role.begin(), message.role.end(), word))
            throw error({}, "the role " + printable(message.role), "a word, such as user");
        auto const header = tokenizer_.encode(message.role + '\n', special_tokens::plain_text);
        auto const said =
            tokenizer_.encode(message.role + '\n' + message.content, special_tokens::plain_text);
        // White space that the content begins with may share a token with the line break before it. That token is of the
        // header: a reply that is generated does not begin with it.
        auto const shared =
            std::mismatch(header.begin(), header.end(), said.begin(), said.end()).first - header.begin();
        auto const all_shared = shared == static_cast<std::ptrdiff_t>(header.size());
        auto const first = to.tokens.size() + 1 + static_cast<std::size_t>(shared + (all_shared ? 0 : 1));

        to.tokens.push_back(start_);
        append(said, to.tokens);
        to.tokens.push_back(end_);
        to.counted.resize(to.tokens.size());
        if (message.role == "assistant" && message.counts)
            std::fill(to.counted.begin() + static_cast<std::ptrdiff_t>(std::min(first, to.tokens.size())),
                      to.counted.end(), true);
        append(line_break_, to.tokens);
        to.counted.resize(to.tokens.size());
    }

    tokenizer tokenizer_;
    std::string system_;
    std::int32_t start_, end_;
    std::vector<std::int32_t> line_break_;
};

}  // namespace snug::SNUG_TARGET::io
