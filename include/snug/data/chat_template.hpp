// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <optional>
#include <snug/target.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

/// \file
/// Chat templates, which are programs of Jinja's, are not run. One is compared with what `chatml` writes.

namespace snug::SNUG_TARGET::io {

/// What a template that is ChatML says beside it.
struct chatml_template {
    std::string system = {};  ///< of a conversation that does not begin with a system message; empty: none
};

namespace detail {

/// Takes a template apart, as transformers has Jinja set up (`trim_blocks`, `lstrip_blocks`), and sees whether it is ChatML:
///
///     for each message: "<|im_start|>", its role, a line break, its content, "<|im_end|>" and a line break;
///     before the first, unless that is of the system, perhaps a system message of the template's own;
///     behind the last perhaps the beginning of the assistant's reply.
class chatml_reader {
  public:
    explicit chatml_reader(std::string_view source) : is_readable_(split(source)) {}

    /// Nothing for a template that is anything else.
    std::optional<chatml_template> read() {
        if (!is_readable_) return {};
        chatml_template found;
        if (take("if not add_generation_prompt is defined") &&
            !(take("set add_generation_prompt = false") && take("endif")))
            return {};
        if (take("if messages [ 0 ] . role != \"system\"") && !(system(found) && take("endif"))) return {};
        if (at_ == pieces_.size() || pieces_[at_].is_output) return {};
        auto const& loop = pieces_[at_].text;
        constexpr std::string_view before = "for ", behind = " in messages";
        if (!loop.starts_with(before) || !loop.ends_with(behind) ||
            loop.size() <= before.size() + behind.size())
            return {};
        auto const message = loop.substr(before.size(), loop.size() - before.size() - behind.size());
        if (message.find(' ') != message.npos) return {};
        ++at_;
        for (auto const& first : {std::string("messages [ 0 ]"), message})
            if (take("if loop . first and " + first + " . role != \"system\"") &&
                !(found.system.empty() && system(found) && take("endif")))
                return {};
        std::vector<part> const turn{{"<|im_start|>", false},
                                     {message + " . role", true},
                                     {"\n", false},
                                     {message + " . content", true},
                                     {"<|im_end|>\n", false}};
        if (output() != turn || !take("endfor")) return {};
        if (take("if add_generation_prompt")) {
            std::vector<part> const reply{{"<|im_start|>assistant\n", false}};
            if (output() != reply || !take("endif")) return {};
        }
        if (at_ != pieces_.size()) return {};
        return found;
    }

  private:
    /// Of an output: a text, or what is read of a variable.
    struct part {
        std::string text;
        bool is_variable = false;
        friend bool operator==(part const&, part const&) = default;
    };
    /// A statement, its words apart, or an output.
    struct piece {
        bool is_output = false;
        std::string text = {};
        std::vector<part> parts = {};
    };

    bool take(std::string_view statement) {
        if (at_ == pieces_.size() || pieces_[at_].is_output || pieces_[at_].text != statement) return false;
        ++at_;
        return true;
    }
    /// All outputs up to the next statement; texts that meet are one.
    std::vector<part> output() {
        std::vector<part> result;
        for (; at_ < pieces_.size() && pieces_[at_].is_output; ++at_)
            for (auto const& one : pieces_[at_].parts)
                if (!one.is_variable && !result.empty() && !result.back().is_variable)
                    result.back().text += one.text;
                else result.push_back(one);
        return result;
    }
    bool system(chatml_template& found) {
        constexpr std::string_view before = "<|im_start|>system\n", behind = "<|im_end|>\n";
        auto const parts = output();
        if (parts.size() != 1 || parts.front().is_variable) return false;
        std::string_view const text = parts.front().text;
        if (!text.starts_with(before) || !text.ends_with(behind) ||
            text.size() <= before.size() + behind.size())
            return false;
        found.system = text.substr(before.size(), text.size() - before.size() - behind.size());
        return true;
    }

    static bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }
    static bool is_name(char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
    }

    bool split(std::string_view source) {
        bool trims = false, behind_statement = false, begins_a_line = true;
        // Jinja makes line breaks of them.
        if (source.find('\r') != source.npos) return false;
        while (true) {
            auto const open = std::min(source.find("{{"), std::min(source.find("{%"), source.find("{#")));
            auto text = source.substr(0, open);
            bool const ends = open == source.npos;
            bool const is_output = !ends && source[open + 1] == '{';
            if (trims)
                while (!text.empty() && is_blank(text.front())) text.remove_prefix(1);
            else if (behind_statement && text.starts_with('\n')) {
                text.remove_prefix(1);
                begins_a_line = true;
            }
            if (!ends) {
                if (open + 2 < source.size() && source[open + 2] == '-') {
                    while (!text.empty() && is_blank(text.back())) text.remove_suffix(1);
                } else if (!is_output) {
                    auto const line = text.find_last_not_of(" \t");
                    if (line == text.npos) {
                        if (begins_a_line) text = {};
                    } else if (text[line] == '\n') text = text.substr(0, line + 1);
                }
            }
            if (!text.empty()) pieces_.push_back({true, {}, {{std::string(text), false}}});
            if (ends) return true;
            auto const close = end_of(source, open);
            if (close == source.npos) return false;
            begins_a_line = false;
            trims = source[close - 1] == '-';
            behind_statement = !is_output;
            auto inside = source.substr(open + 2, close - open - 2);
            if (inside.starts_with('-')) inside.remove_prefix(1);
            if (trims && !inside.empty()) inside.remove_suffix(1);
            if (source[open + 1] != '#' && !add(inside, is_output)) return false;
            source.remove_prefix(close + 2);
        }
    }
    /// Where the block that begins at `open` is closed, outside of texts.
    static std::size_t end_of(std::string_view source, std::size_t open) {
        char const wanted = source[open + 1] == '{' ? '}' : source[open + 1];
        char quote = 0;
        for (auto i = open + 2; i + 1 < source.size(); ++i) {
            if (quote != 0) {
                if (source[i] == '\\') ++i;
                else if (source[i] == quote) quote = 0;
            } else if (wanted != '#' && (source[i] == '"' || source[i] == '\'')) {
                quote = source[i];
            } else if (source[i] == wanted && source[i + 1] == '}') {
                return i;
            }
        }
        return source.npos;
    }

    /// Takes the words of a block apart: m['role'] is m.role, and texts are between " whatever they were between.
    bool add(std::string_view inside, bool is_output) {
        std::vector<part> words;  // `is_variable`: no text
        for (std::size_t i = 0; i < inside.size();) {
            if (is_blank(inside[i])) {
                ++i;
            } else if (is_name(inside[i])) {
                auto end = i;
                while (end < inside.size() && is_name(inside[end])) ++end;
                words.push_back({std::string(inside.substr(i, end - i)), true});
                i = end;
            } else if (inside[i] == '"' || inside[i] == '\'') {
                std::string text;
                auto const quote = inside[i++];
                for (; i < inside.size() && inside[i] != quote; ++i) {
                    if (inside[i] != '\\') {
                        text += inside[i];
                        continue;
                    }
                    if (++i == inside.size()) return false;
                    if (inside[i] == 'n') text += '\n';
                    else if (inside[i] == '\\' || inside[i] == '"' || inside[i] == '\'') text += inside[i];
                    else return false;
                }
                if (i++ == inside.size()) return false;
                words.push_back({text, false});
            } else {
                bool const is_pair = i + 1 < inside.size() && inside[i + 1] == '=';
                words.push_back({std::string(inside.substr(i, is_pair ? 2 : 1)), true});
                i += is_pair ? 2 : 1;
            }
            auto const count = words.size();
            if (count >= 3 && words[count - 3] == part{"[", true} && !words[count - 2].is_variable &&
                words[count - 1] == part{"]", true}) {
                words[count - 3] = {".", true};
                words[count - 2].is_variable = true;
                words.pop_back();
            }
        }
        piece result{is_output};
        if (!is_output) {
            for (auto const& [text, is_word] : words)
                result.text += (result.text.empty() ? "" : " ") + (is_word ? text : '"' + text + '"');
            pieces_.push_back(std::move(result));
            return true;
        }
        for (std::size_t i = 0; i < words.size();) {
            if (!words[i].is_variable) {
                result.parts.push_back(words[i++]);
            } else {
                if (i + 3 > words.size() || words[i + 1] != part{".", true} || !words[i + 2].is_variable)
                    return false;
                result.parts.push_back({words[i].text + " . " + words[i + 2].text, true});
                i += 3;
            }
            if (i == words.size()) break;
            if (words[i] != part{"+", true} && words[i] != part{"~", true}) return false;
            if (++i == words.size()) return false;
        }
        pieces_.push_back(std::move(result));
        return true;
    }

    std::vector<piece> pieces_{};
    std::size_t at_ = 0;
    bool is_readable_;
};

}  // namespace detail

/// What a tokenizer's chat template says beside ChatML; nothing for a template that is not ChatML as `chatml` writes it.
inline std::optional<chatml_template> read_chatml_template(std::string_view source) {
    return detail::chatml_reader(source).read();
}

}  // namespace snug::SNUG_TARGET::io
