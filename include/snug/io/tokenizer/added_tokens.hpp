// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <snug/io/tokenizer/utf8.hpp>

namespace snug::io {

/// A token that is found in the text before anything else is done with it.
struct added_token {
    std::string text;
    std::int64_t id = 0;
    bool special = false;      ///< one that steers the model, as <|im_end|>, and not a part of what is said
    bool left_strip = false;   ///< takes the white space before it
    bool right_strip = false;  ///< takes the white space behind it
};

/// Finds added tokens: from left to right, of several at one place the longest.
class added_tokens {
  public:
    added_tokens() = default;
    /// Needs texts that are not empty.
    explicit added_tokens(std::vector<added_token> tokens) : tokens_(std::move(tokens)) {
        for (auto const& token : tokens_) begins_[static_cast<unsigned char>(token.text.front())] = true;
        std::sort(tokens_.begin(), tokens_.end(),
                  [](added_token const& a, added_token const& b) { return a.text < b.text; });
    }

    std::vector<added_token> const& tokens() const noexcept { return tokens_; }

    /// Calls `use_text(part)` and `use_token(added_token)` in the order of the text. A special token is text where
    /// `special_is_text`.
    template <class UseText, class UseToken>
    void split(std::string_view text, bool special_is_text, UseText&& use_text, UseToken&& use_token) const {
        std::size_t done = 0, at = 0;
        while (at < text.size() && !tokens_.empty()) {
            auto const* const found =
                begins_[static_cast<unsigned char>(text[at])] ? longest(text.substr(at)) : nullptr;
            if (!found) {
                ++at;
                continue;
            }
            auto begin = at;
            at += found->text.size();
            if (found->special && special_is_text) continue;
            if (found->left_strip) begin = spaces_begin(text.substr(0, begin), done);
            if (found->right_strip) at = spaces_end(text, at);
            if (begin > done) use_text(text.substr(done, begin - done));
            use_token(*found);
            done = at;
        }
        if (done < text.size()) use_text(text.substr(done));
    }

  private:
    /// The longest token that `text` begins with: one byte after the other narrows the sorted tokens down.
    added_token const* longest(std::string_view text) const {
        auto first = tokens_.begin(), last = tokens_.end();
        added_token const* found = nullptr;
        for (std::size_t length = 0; length < text.size(); ++length) {
            auto const byte = [length](added_token const& token) {
                return length < token.text.size()
                           ? static_cast<int>(static_cast<unsigned char>(token.text[length]))
                           : -1;
            };
            auto const wanted = static_cast<int>(static_cast<unsigned char>(text[length]));
            first =
                std::partition_point(first, last, [&](auto const& token) { return byte(token) < wanted; });
            last =
                std::partition_point(first, last, [&](auto const& token) { return byte(token) == wanted; });
            if (first == last) break;
            if (first->text.size() == length + 1) found = &*first;
        }
        return found;
    }

    /// Where the white space at the end of `text` begins, not before `least`.
    static std::size_t spaces_begin(std::string_view text, std::size_t least) {
        auto begin = text.size();
        while (begin > least) {
            auto at = begin - 1;
            while (at > least && (static_cast<unsigned char>(text[at]) & 0xc0u) == 0x80u) --at;
            auto const last = text.substr(at, begin - at);
            if (utf8::character(last) != last.size() || !utf8::white_space(utf8::code_point(last))) break;
            begin = at;
        }
        return begin;
    }

    /// The end of the white space from `at` on.
    static std::size_t spaces_end(std::string_view text, std::size_t at) {
        while (at < text.size()) {
            auto const rest = text.substr(at);
            auto const length = utf8::character(rest);
            if (length == 0 || !utf8::white_space(utf8::code_point(rest))) break;
            at += length;
        }
        return at;
    }

    std::vector<added_token> tokens_;
    std::array<bool, 256> begins_{};  ///< the bytes that a token begins with
};

}  // namespace snug::io
