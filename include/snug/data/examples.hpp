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

#include <snug/data/chat.hpp>
#include <snug/data/tokenizer.hpp>
#include <snug/error.hpp>
#include <snug/io/file.hpp>
#include <snug/io/json.hpp>
#include <snug/io/size.hpp>

namespace snug::SNUG_TARGET::io {

/// What fine-tuning learns from: sequences of tokens, each with a mark on those whose prediction counts.
class examples {
  public:
    struct view {
        std::span<std::int32_t const> tokens;
        std::span<std::uint8_t const> counted;  ///< 0 or 1 for each token
        std::int64_t line;                      ///< of the file, from 1; 0 where there are no lines
    };

    /// Conversations of a file that are not among the examples.
    struct left_out_lines {
        std::string reason;
        std::int64_t count = 0;
        std::int64_t first_line = 0;
    };

    struct json_lines_options {
        /// How "messages" are written; without it as the tokenizer's own chat template says.
        std::optional<io::chat> chat = {};
        bool begin_of_text = false;  ///< a prompt begins with the tokenizer's begin_of_text()
        bool end_of_text = true;     ///< a completion ends with the tokenizer's end_of_text(), which counts
        /// In bytes. To read a line takes four times as many, and 64 MiB, at most.
        std::int64_t longest_line = 1 << 20;
    };

    examples() = default;
    explicit examples(std::string name) : name_(std::move(name)) {}

    /// A text as windows of `window` predictions, every one of which counts: a window begins with the token that the one
    /// before it ends with. Throws when the file is missing or has fewer than two tokens.
    static examples from_text(std::string const& path, tokenizer const& tokens, std::int64_t window) {
        if (window < 1) throw error({path}, "windows of " + std::to_string(window) + " tokens", "at least 1");
        mapping const file(path);
        auto const all = tokens.encode(text_of(file), special_tokens::plain_text);
        if (all.size() < 2) throw error({path}, std::to_string(all.size()) + " tokens", "at least 2");
        examples result(path);
        auto const step = static_cast<std::size_t>(window);
        for (std::size_t first = 0; first + 1 < all.size(); first += step) {
            auto const count = std::min(step, all.size() - 1 - first) + 1;
            example one{{all.begin() + static_cast<std::ptrdiff_t>(first),
                         all.begin() + static_cast<std::ptrdiff_t>(first + count)},
                        std::vector<bool>(count, true)};
            result.add(one);
        }
        return result;
    }

    /// A file with a JSON object in each line, `{"prompt": TEXT, "completion": TEXT}` or
    /// `{"messages": [{"role": TEXT, "content": TEXT}, ...]}`. The completion counts, or what the assistant says. Prompt and
    /// completion are tokenized each by itself. Special tokens are plain text. Empty lines are skipped. A message may have a
    /// "weight" of 0, not to be learnt, or 1. A line is left out as a whole when it holds what is not understood: a
    /// message whose role is not "system", "user", "assistant" or "tool", a content
    /// that is no text (null beside tool calls, parts), another weight, another key of a message that says something, tools
    /// and the like beside them; or when weights leave nothing to learn. `left_out()` counts them. Other keys of the
    /// object say nothing here. Throws, with the number of the line, on one that is too long, is anything else, or has
    /// nothing that counts, and when all of them are left out.
    static examples from_json_lines(std::string const& path, tokenizer const& tokens) {
        return from_json_lines(path, tokens, json_lines_options{});
    }
    static examples from_json_lines(std::string const& path, tokenizer const& tokens,
                                    json_lines_options options) {
        mapping const file(path);
        auto const text = text_of(file);
        examples result(path);
        std::int64_t line = 0, first_left_out = -1;
        auto const leave_out = [&](std::string reason, std::size_t at) {
            if (result.left_out_.empty()) first_left_out = static_cast<std::int64_t>(at);
            result.leave_out(std::move(reason), line);
        };
        for (std::size_t at = 0; at < text.size();) {
            ++line;
            auto const end = std::min(text.find('\n', at), text.size());
            auto const content = text.substr(at, end - at);
            try {
                if (content.size() > checked(options.longest_line).value())
                    throw error({path, static_cast<std::int64_t>(at)},
                                std::to_string(content.size()) + " bytes",
                                "at most " + std::to_string(options.longest_line));
                if (content.find_first_not_of(" \t\r") != content.npos) {
                    json_document const document(content, path, static_cast<std::int64_t>(at));
                    if (auto reason = not_understood(document.root()); !reason.empty())
                        leave_out(std::move(reason), at);
                    else if (auto const one = read(document.root(), tokens, options);
                             std::find(one.counted.begin(), one.counted.end(), true) != one.counted.end())
                        result.add(one, line);
                    else if (has_weights(document.root())) leave_out("weights of 0 alone", at);
                    else
                        document.root().refuse("an example in which nothing counts",
                                               "a completion or a reply");
                }
            } catch (error const& refused) {
                auto where = refused.where();
                where.file = path;
                if (where.offset < 0) where.offset = static_cast<std::int64_t>(at);
                throw error(where, "line " + std::to_string(line) + " with " + refused.found(),
                            refused.expected());
            }
            at = end + 1;
        }
        if (result.size() == 0 && !result.left_out_.empty()) {
            auto const& first = result.left_out_.front();
            throw error({path, first_left_out},
                        "a file in which every conversation is left out, that of line " +
                            std::to_string(first.first_line) + " for " + first.reason,
                        "at least one that is understood");
        }
        if (result.size() == 0) throw error({path}, "a file without an example", "at least one");
        return result;
    }

    /// What `from_json_lines` has left out, a line for each reason.
    std::span<left_out_lines const> left_out() const noexcept { return left_out_; }

    /// Adds one. Throws when it is shorter than two tokens, which leaves nothing to predict, or has not a mark for each.
    void add(example const& one, std::int64_t line = 0) {
        if (one.tokens.size() < 2)
            throw error({name_}, "an example of " + std::to_string(one.tokens.size()) + " tokens",
                        "at least 2");
        if (one.counted.size() != one.tokens.size())
            throw error({name_}, std::to_string(one.counted.size()) + " marks",
                        std::to_string(one.tokens.size()) + ", one for each token");
        tokens_.insert(tokens_.end(), one.tokens.begin(), one.tokens.end());
        counted_.insert(counted_.end(), one.counted.begin(), one.counted.end());
        ends_.push_back(tokens_.size());
        lines_.push_back(line);
    }

    std::int64_t size() const noexcept { return static_cast<std::int64_t>(ends_.size()); }
    /// Tokens of all of them.
    std::int64_t tokens() const noexcept { return static_cast<std::int64_t>(tokens_.size()); }
    /// The file they come from.
    std::string const& name() const noexcept { return name_; }

    /// Example i. Needs 0 <= i < size().
    view operator[](std::int64_t i) const noexcept {
        auto const at = static_cast<std::size_t>(i);
        auto const begin = at == 0 ? 0 : ends_[at - 1], count = ends_[at] - begin;
        return {std::span(tokens_).subspan(begin, count), std::span(counted_).subspan(begin, count),
                lines_[at]};
    }

  private:
    static std::string_view text_of(mapping const& file) {
        return {reinterpret_cast<char const*>(file.bytes().data()), file.bytes().size()};
    }

    void leave_out(std::string reason, std::int64_t line) {
        // A file can name a new reason in every line, such as a key that no other has.
        constexpr std::size_t most_reasons = 32;
        auto known = std::ranges::find(left_out_, reason, &left_out_lines::reason);
        if (known == left_out_.end() && left_out_.size() + 1 >= most_reasons) {
            reason = "other reasons";
            known = std::ranges::find(left_out_, reason, &left_out_lines::reason);
        }
        if (known != left_out_.end()) ++known->count;
        else left_out_.push_back({std::move(reason), 1, line});
    }

    static bool is_nothing(json const& value) {
        return value.is_null() || (value.is_text() && value.text().empty()) ||
               (value.is_array() && value.elements().empty()) ||
               (value.is_object() && value.members().empty());
    }
    static bool is_number(json const& value, double wanted) {
        return value.is_number() && value.real() == wanted;
    }
    static bool has_weights(json const& object) {
        if (!object.has("messages")) return false;
        auto const messages = object.at("messages").elements();
        return std::any_of(messages.begin(), messages.end(),
                           [](json const& one) { return one.has("weight"); });
    }

    /// What of a line is not understood; empty when all of it is, or when it is no example.
    static std::string not_understood(json const& object) {
        if (!object.is_object()) return {};
        // What changes the prompt, or asks for another kind of training. Of others, such as an id, nothing is known to.
        constexpr std::string_view others[] = {"tools",
                                               "functions",
                                               "function_call",
                                               "tool_choice",
                                               "parallel_tool_calls",
                                               "response_format",
                                               "images",
                                               "videos",
                                               "audios",
                                               "documents",
                                               "chat_template_kwargs",
                                               "chosen",
                                               "rejected",
                                               "image",
                                               "video",
                                               "audio",
                                               "system",
                                               "label",
                                               "loss_mask",
                                               "train"};
        for (auto const key : others)
            if (object.has(key) && !is_nothing(object.at(key))) return '"' + std::string(key) + '"';
        if (object.has("weight") && !is_number(object.at("weight"), 1))
            return "a \"weight\" of the whole other than 1";
        if (!object.has("messages") || !object.at("messages").is_array()) return {};
        for (auto const& message : object.at("messages").elements()) {
            if (!message.is_object()) return "a message that is " + message.what();
            if (!message.has("role") || !message.at("role").is_text()) return "a message without a \"role\"";
            std::string_view const role = message.at("role").text();
            // Another name may be another system's for the one who replies: "gpt", "model".
            constexpr std::string_view roles[] = {"system", "user", "assistant", "tool"};
            if (std::ranges::find(roles, role) == std::end(roles)) return "the role " + printable(role);
            if (message.find("content") == nullptr && !message.has("tool_calls"))
                return "a message without \"content\"";
            for (auto const& [key, value] : message.members()) {
                if (key == "role") continue;
                if (key == "content") {
                    if (!value.is_text()) return "a \"content\" that is no text";
                } else if (key == "weight") {
                    if (!is_number(value, 0) && !is_number(value, 1))
                        return "a \"weight\" other than 0 and 1";
                    if (role != "assistant" && !is_number(value, 0))
                        return "a \"weight\" of 1 for what is not the assistant's";
                } else if (!is_nothing(value)) {
                    return printable(key) + " of a message";
                }
            }
        }
        return {};
    }

    static example read(json const& object, tokenizer const& tokens, json_lines_options& options) {
        auto const is_chat = object.has("messages");
        if (is_chat == (object.has("prompt") || object.has("completion")))
            object.refuse("an object with " + std::string(is_chat ? "both" : "neither"),
                          "\"prompt\" and \"completion\", or \"messages\"");
        if (is_chat) {
            std::vector<message> messages;
            for (auto const& one : object.at("messages").elements())
                messages.push_back({one.at("role").text(), one.at("content").text(),
                                    !one.has("weight") || !is_number(one.at("weight"), 0)});
            if (!options.chat) options.chat.emplace(tokens);
            return options.chat->conversation(messages);
        }
        example result;
        auto const required = [&](std::optional<std::int32_t> token, char const* what) {
            if (!token) throw error({tokens.path()}, std::string("no token that ") + what + " a text", "one");
            result.tokens.push_back(*token);
        };
        auto const append = [&](json const& text) {
            auto const more = tokens.encode(text.text(), special_tokens::plain_text);
            result.tokens.insert(result.tokens.end(), more.begin(), more.end());
        };
        if (options.begin_of_text) required(tokens.begin_of_text(), "begins");
        append(object.at("prompt"));
        // Nothing comes before the first token, so it can't be predicted.
        result.counted.resize(std::max<std::size_t>(1, result.tokens.size()));
        append(object.at("completion"));
        if (options.end_of_text) required(tokens.end_of_text(), "ends");
        result.counted.resize(result.tokens.size(), true);
        return result;
    }

    std::string name_;
    std::vector<left_out_lines> left_out_;
    std::vector<std::int32_t> tokens_;
    std::vector<std::uint8_t> counted_;
    std::vector<std::size_t> ends_;
    std::vector<std::int64_t> lines_;
};

}  // namespace snug::SNUG_TARGET::io
