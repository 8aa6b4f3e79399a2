// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <snug/utf8.hpp>

namespace snug::SNUG_TARGET::io {

/// A token that is found in the text before anything else is done with it.
struct added_token {
    std::string text;
    std::int64_t id = 0;
    bool special = false;      ///< one that steers the model, as <|im_end|>, and not a part of what is said
    bool left_strip = false;   ///< takes the white space before it
    bool right_strip = false;  ///< takes the white space behind it
    std::int64_t stated_id = -1;  ///< in the file, where `tokenizers` gives it another
};

/// Finds added tokens: from left to right, of several at one place the longest.
///
/// The time grows with the text and not with the tokens: an automaton of the tokens spelled backwards (Aho, Corasick,
/// "Efficient String Matching: An Aid to Bibliographic Search", 1975) goes over the text from its end and knows, for
/// every place, the longest token that begins there.
class added_tokens {
  public:
    /// Of all texts together, in bytes.
    static constexpr std::size_t most_bytes = 1 << 20;

    added_tokens() = default;
    /// Needs texts that are not empty, each once, and no more than `most_bytes`.
    explicit added_tokens(std::vector<added_token> tokens) : tokens_(std::move(tokens)) {
        std::sort(tokens_.begin(), tokens_.end(), [](added_token const& a, added_token const& b) {
            // As unsigned bytes, in whose order children are looked for.
            return std::lexicographical_compare(
                a.text.rbegin(), a.text.rend(), b.text.rbegin(), b.text.rend(),
                [](unsigned char left, unsigned char right) { return left < right; });
        });
        for (auto const& token : tokens_) longest_ = std::max(longest_, token.text.size());
        grow();
    }

    std::vector<added_token> const& tokens() const noexcept { return tokens_; }

    /// Calls `use_text(part)` and `use_token(added_token, begin, end)` in the order of the text. A special token is
    /// text where `is_text(begin, end)`.
    template <class IsText, class UseText, class UseToken>
    void split(std::string_view text, IsText&& is_text, UseText&& use_text, UseToken&& use_token) const {
        std::size_t done = 0, at = 0;
        // Blocks, so that what is known of the places takes little memory; each sees the tokens that reach out of it.
        auto const block = std::max<std::size_t>(1 << 16, 4 * longest_);
        std::vector<std::int32_t> begins;
        while (at < text.size() && !tokens_.empty()) {
            auto const first = at, last = std::min(text.size(), first + block);
            find(text, first, last, begins);
            while (at < last) {
                auto const number = begins[at - first];
                if (number < 0) {
                    ++at;
                    continue;
                }
                auto const& found = tokens_[static_cast<std::size_t>(number)];
                auto begin = at;
                at += found.text.size();
                if (found.special && is_text(begin, at)) continue;
                if (found.left_strip) begin = spaces_begin(text.substr(0, begin), done);
                if (found.right_strip) at = spaces_end(text, at);
                if (begin > done) use_text(text.substr(done, begin - done));
                use_token(found, begin, at);
                done = at;
            }
        }
        if (done < text.size()) use_text(text.substr(done));
    }

  private:
    /// The end of a token, spelled backwards.
    struct node {
        std::uint32_t children = 0;  ///< the first; they follow one another, by their bytes
        std::uint32_t shorter = 0;   ///< of the longest other end that this one ends with
        std::int32_t token = -1;     ///< the longest that this is or ends with
        std::uint16_t count = 0;     ///< of children
        unsigned char byte = 0;
    };

    unsigned char backwards(std::size_t token, std::size_t depth) const {
        auto const& text = tokens_[token].text;
        return static_cast<unsigned char>(text[text.size() - 1 - depth]);
    }

    /// Breadth first: of each node the sorted tokens that begin with it, backwards.
    void grow() {
        struct range {
            std::uint32_t first, last, depth, parent;
        };
        nodes_.assign(1, {});
        std::vector<range> open{{0, static_cast<std::uint32_t>(tokens_.size()), 0, 0}};
        for (std::size_t number = 0; number < nodes_.size(); ++number) {
            auto const [first, last, depth, parent] = open[number];
            if (number > 0) {
                if (parent > 0) nodes_[number].shorter = next(nodes_[parent].shorter, nodes_[number].byte);
                nodes_[number].token = nodes_[nodes_[number].shorter].token;
            }
            auto from = first;
            // The one that ends here comes first.
            if (from < last && tokens_[from].text.size() == depth)
                nodes_[number].token = static_cast<std::int32_t>(from++);
            nodes_[number].children = static_cast<std::uint32_t>(nodes_.size());
            while (from < last) {
                auto const byte = backwards(from, depth);
                auto to = from;
                while (to < last && backwards(to, depth) == byte) ++to;
                ++nodes_[number].count;
                nodes_.push_back({});
                nodes_.back().byte = byte;
                open.push_back({from, to, depth + 1, static_cast<std::uint32_t>(number)});
                from = to;
            }
        }
    }

    std::uint32_t next(std::uint32_t number, unsigned char byte) const {
        for (;; number = nodes_[number].shorter) {
            auto const& from = nodes_[number];
            auto const begin = nodes_.begin() + from.children, end = begin + from.count;
            auto const found = std::lower_bound(
                begin, end, byte, [](node const& one, unsigned char b) { return one.byte < b; });
            if (found != end && found->byte == byte)
                return static_cast<std::uint32_t>(found - nodes_.begin());
            if (number == 0) return 0;
        }
    }

    /// For each place from `first` to `last` the longest token that begins there, or -1.
    void find(std::string_view text, std::size_t first, std::size_t last,
              std::vector<std::int32_t>& begins) const {
        begins.resize(last - first);
        std::uint32_t at = 0;
        for (auto place = std::min(text.size(), last + longest_); place > first; --place) {
            at = next(at, static_cast<unsigned char>(text[place - 1]));
            if (place <= last) begins[place - 1 - first] = nodes_[at].token;
        }
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
    std::vector<node> nodes_;
    std::size_t longest_ = 0;  ///< bytes
};

}  // namespace snug::SNUG_TARGET::io
