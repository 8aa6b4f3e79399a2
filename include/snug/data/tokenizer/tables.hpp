// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include <snug/data/tokenizer/added_tokens.hpp>
#include <snug/data/tokenizer/byte_letters.hpp>
#include <snug/data/tokenizer/byte_pairs.hpp>
#include <snug/data/tokenizer/keyed_hash.hpp>
#include <snug/data/tokenizer/normalizer.hpp>
#include <snug/data/tokenizer/pre_tokenizer.hpp>
#include <snug/error.hpp>
#include <snug/io/file.hpp>

namespace snug::SNUG_TARGET::io {

/// What a tokenizer knows. Not copied: the maps look into the texts.
struct tokenizer_tables {
    tokenizer_tables() = default;
    tokenizer_tables(tokenizer_tables const&) = delete;
    tokenizer_tables& operator=(tokenizer_tables const&) = delete;

    std::string file;
    std::vector<std::string> texts;  ///< bytes, by id
    std::vector<bool> there;         ///< of each id, whether it has a token
    std::unordered_map<std::string_view, std::int32_t, detail::keyed_hash> ids;  ///< by bytes
    std::unordered_map<std::string_view, std::int32_t, detail::keyed_hash>
        whole_words;  ///< words that end as one token
    byte_pairs pairs;
    std::vector<unicode_form> forms;  ///< that a text is put into
    pre_tokenizer rules;
    added_tokens added_first, added_then;  ///< the second are looked for in what the first left
    std::optional<std::int32_t> begin, end;
    std::string chat_template;
};

/// A tokenizer as a file states it, before any of it was believed.
struct tokenizer_parts {
    struct token {
        std::string_view letters;  ///< as `byte_letters` writes bytes
        std::int64_t id = 0;
    };
    struct merge {
        std::string_view left, right;  ///< letters
    };
    std::string file;
    std::vector<token> vocabulary;
    std::vector<added_token> added_first, added_then;
    std::vector<merge> merges;
    std::vector<unicode_form> forms;
    std::vector<pre_tokenizer::step> steps;
    std::string_view unknown;  ///< letters; empty for none
    bool one_unknown_for_a_run = false;
    bool ignore_merges = false;  ///< a word that is in the vocabulary is that token, whatever the merges say
    std::optional<std::int64_t> begin, end;
    std::string chat_template;
};

namespace detail {

/// The two of a merge that is written with a space between them.
inline tokenizer_parts::merge parts_of_merge(std::string_view text, place const& where, std::size_t rank) {
    auto const space = text.find(' ');
    if (space == text.npos || space == 0 || space + 1 == text.size() ||
        text.find(' ', space + 1) != text.npos)
        throw error(where, "merge " + std::to_string(rank) + " as " + printable(text),
                    "two tokens with a space between them");
    return {text.substr(0, space), text.substr(space + 1)};
}

/// Checks the parts and makes the tables of them.
class tokenizer_builder {
  public:
    explicit tokenizer_builder(tokenizer_parts parts) : parts_(std::move(parts)) {}

    std::shared_ptr<tokenizer_tables const> build() {
        all_->file = parts_.file;
        count_tokens();
        place_vocabulary();
        place_added(parts_.added_first);
        place_added(parts_.added_then);
        name_tokens();
        build_pairs();
        all_->rules = pre_tokenizer(std::move(parts_.steps));
        if (!parts_.forms.empty() && !has_utf8proc())
            throw error(
                {all_->file},
                "a tokenizer that puts texts into a normal form of Unicode, in a program without utf8proc",
                "Debian's libutf8proc-dev where the program is compiled, and libutf8proc2 where it runs");
        all_->forms = parts_.forms;
        normalize_added();
        all_->added_first = added_tokens(std::move(parts_.added_first));
        all_->added_then = added_tokens(std::move(parts_.added_then));
        all_->begin = in_vocabulary("the token that begins a text", parts_.begin);
        all_->end = in_vocabulary("the token that ends a text", parts_.end);
        all_->chat_template = std::move(parts_.chat_template);
        return std::move(all_);
    }

  private:
    std::vector<std::string>& texts() { return all_->texts; }

    [[noreturn]] void refuse(std::string found, std::string expected) const {
        throw error({parts_.file}, std::move(found), std::move(expected));
    }

    /// Ids need not be 0, 1, 2, ... without a hole, but a few tokens with a large id must not take much memory.
    void count_tokens() {
        constexpr std::size_t most = 1 << 24, most_bytes = added_tokens::most_bytes;
        constexpr std::int64_t most_holes = 1 << 18;
        std::unordered_map<std::string_view, std::int64_t, detail::keyed_hash> seen;
        std::int64_t largest = -1;
        auto const see = [&](std::string_view text, std::int64_t id) {
            auto const [other, added] = seen.emplace(text, id);
            if (!added && other->second != id)
                refuse("token " + printable(text) + " as " + std::to_string(other->second) + " and as " +
                           std::to_string(id),
                       "one id");
            largest = std::max(largest, id);
        };
        for (auto const& token : parts_.vocabulary) see(token.letters, token.id);
        if (seen.size() != parts_.vocabulary.size())
            refuse("a token that is in the vocabulary twice", "each once");
        std::size_t bytes = 0;
        for (auto const* const list : {&parts_.added_first, &parts_.added_then})
            for (auto const& token : *list) {
                see(token.text, token.id);
                bytes += token.text.size();
            }
        if (bytes > most_bytes)
            refuse("added tokens of " + std::to_string(bytes) + " bytes",
                   "at most " + std::to_string(most_bytes));
        if (seen.size() > most)
            refuse(std::to_string(seen.size()) + " tokens", "at most " + std::to_string(most));
        slots_ = std::min(largest, static_cast<std::int64_t>(seen.size()) + most_holes - 1) + 1;
        texts().resize(static_cast<std::size_t>(slots_));
        all_->there.resize(texts().size());
        letters_of_.resize(texts().size());
    }

    std::size_t place(std::string_view text, std::int64_t id) {
        if (id < 0 || id >= slots_)
            refuse("id " + std::to_string(id) + " for token " + printable(text),
                   "one below " + std::to_string(slots_) + ", as so few tokens are there");
        return static_cast<std::size_t>(id);
    }

    void place_vocabulary() {
        of_byte_.fill(byte_pairs::none);
        for (auto const& [letters, id] : parts_.vocabulary) {
            auto const at = place(letters, id);
            if (all_->there[at])
                refuse("id " + std::to_string(id) + " for token " + printable(letters) + " and for another",
                       "one token for an id");
            all_->there[at] = true;
            letters_of_[at] = letters;
            if (auto const bytes = letters_.bytes(letters)) {
                texts()[at] = *bytes;
                spelled_.emplace(letters, static_cast<std::int32_t>(id));
                if (bytes->size() == 1)
                    of_byte_[static_cast<unsigned char>(bytes->front())] = static_cast<std::int32_t>(id);
            } else {
                // A padding entry, or a token that is also an added one: no word becomes it.
                texts()[at] = letters;
            }
        }
    }

    void place_added(std::vector<added_token> const& tokens) {
        std::unordered_map<std::string_view, bool, detail::keyed_hash> seen;
        for (auto const& token : tokens) {
            if (token.text.empty()) refuse("an added token without text", "one with text");
            auto const at = place(token.text, token.id);
            if (!seen.emplace(token.text, true).second)
                refuse("added token " + printable(token.text) + " twice", "once");
            // count_tokens() has seen one id for one text, so what is there must be this very text.
            if (all_->there[at] && letters_of_[at] != token.text)
                refuse("id " + std::to_string(token.id) + " for token " + printable(token.text) +
                           " and for another",
                       "one token for an id");
            all_->there[at] = true;
            letters_of_[at] = token.text;
            texts()[at] = token.text;
        }
    }

    void name_tokens() {
        auto const name = [&](std::int64_t id) {
            all_->ids[texts()[static_cast<std::size_t>(id)]] = static_cast<std::int32_t>(id);
        };
        for (auto const& token : parts_.vocabulary) name(token.id);
        // Last, so that of two tokens with the same bytes the name is the added one's.
        for (auto const& token : parts_.added_first) name(token.id);
        for (auto const& token : parts_.added_then) name(token.id);
    }

    /// What is looked for in a normalized text is normalized itself.
    void normalize_added() {
        if (parts_.forms.empty()) return;
        std::unordered_map<std::string, bool, detail::keyed_hash> seen;
        for (auto& token : parts_.added_then) {
            for (auto const form : parts_.forms) {
                std::string normal;
                normalize(token.text, form, normal);
                token.text = std::move(normal);
            }
            if (!seen.emplace(token.text, true).second)
                refuse("two added tokens that are " + printable(token.text) + " when they are normalized",
                       "one");
        }
    }

    std::int32_t spelled(std::string_view letters, std::size_t rank) const {
        auto const found = spelled_.find(letters);
        if (found == spelled_.end())
            refuse("merge " + std::to_string(rank) + " with " + printable(letters) + ", which is no token",
                   "tokens");
        return found->second;
    }

    void build_pairs() {
        std::vector<byte_pairs::merge> merges;
        merges.reserve(parts_.merges.size());
        for (auto const& [left, right] : parts_.merges) {
            auto const rank = merges.size();
            merges.push_back({spelled(left, rank), spelled(right, rank),
                              spelled(std::string(left) + std::string(right), rank)});
        }
        auto unknown = byte_pairs::none;
        if (!parts_.unknown.empty()) {
            auto const found =
                std::find_if(parts_.vocabulary.begin(), parts_.vocabulary.end(),
                             [&](auto const& token) { return token.letters == parts_.unknown; });
            if (found == parts_.vocabulary.end())
                refuse("unknown token " + printable(parts_.unknown), "one of the vocabulary");
            unknown = static_cast<std::int32_t>(found->id);
        }
        all_->pairs = byte_pairs(of_byte_, merges, unknown, parts_.one_unknown_for_a_run);

        // Most words of a text are one token; looking them up is faster than merging them.
        byte_pairs::workspace space;
        std::vector<std::int32_t> tokens;
        for (auto const& [letters, id] : spelled_) {
            std::string_view const bytes = texts()[static_cast<std::size_t>(id)];
            if (letters_.bytes(letters) != bytes) continue;  // an added token has taken its place
            tokens.clear();
            if (!parts_.ignore_merges) all_->pairs.encode(bytes, tokens, space);
            if (parts_.ignore_merges || tokens == std::vector{id}) all_->whole_words.emplace(bytes, id);
        }
    }

    std::optional<std::int32_t> in_vocabulary(std::string const& what, std::optional<std::int64_t> id) const {
        if (!id) return std::nullopt;
        if (*id < 0 || *id >= slots_ || !all_->there[static_cast<std::size_t>(*id)])
            refuse(std::to_string(*id) + " as " + what,
                   "a token below the vocabulary of " + std::to_string(all_->texts.size()));
        return static_cast<std::int32_t>(*id);
    }

    tokenizer_parts parts_;
    std::shared_ptr<tokenizer_tables> all_ = std::make_shared<tokenizer_tables>();
    std::int64_t slots_ = 0;
    std::vector<std::string_view> letters_of_;  ///< by id, as the vocabulary writes them
    byte_letters letters_;
    std::unordered_map<std::string_view, std::int32_t, detail::keyed_hash>
        spelled_;  // by letters; the views are of the file
    std::array<std::int32_t, 256> of_byte_{};
};

}  // namespace detail
}  // namespace snug::SNUG_TARGET::io
