// SPDX-License-Identifier: Apache-2.0
#pragma once

/// \file
/// Needs PCRE2 and utf8proc (link snug::tokenizer); snug.hpp leaves it out.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <snug/data/tokenizer/added_tokens.hpp>
#include <snug/data/tokenizer/byte_pairs.hpp>
#include <snug/data/tokenizer/normalizer.hpp>
#include <snug/data/tokenizer/pre_tokenizer.hpp>
#include <snug/data/tokenizer/read_gguf.hpp>
#include <snug/data/tokenizer/read_json.hpp>
#include <snug/data/tokenizer/tables.hpp>
#include <snug/error.hpp>
#include <snug/io/file.hpp>
#include <snug/io/gguf.hpp>
#include <snug/utf8.hpp>

namespace snug::SNUG_TARGET::io {

/// What `<|im_end|>` in a text is.
enum class special_tokens {
    recognised,  ///< the special token
    plain_text   ///< ten characters, as in a text that a stranger wrote
};

/// Byte-level BPE, as GPT-2, SmolLM2, Qwen2 and Llama-3 use it: text to tokens and back. The tokens are those of
/// Hugging Face's `tokenizers` with `add_special_tokens=False`: nothing is put before or behind the text.
///
/// A text need not be valid UTF-8. Bytes that are not are words of their own: they part the words around them, and
/// become tokens of bytes. Bytes that the vocabulary has no token for (SmolLM2's has none for some control characters)
/// become its unknown token or, as in `tokenizers`, nothing; any other text comes back from `decode` byte for byte, in
/// the normal form that the file asks for.
///
/// Immutable, cheap to copy; threads may share one.
class tokenizer {
  public:
    /// Reads a `tokenizer.json`; where a `tokenizer_config.json` or a `chat_template.jinja` lies beside it, these say
    /// what begins and ends a text and what a chat looks like. Throws when it is damaged, or holds anything but
    /// byte-level BPE.
    static tokenizer from_json(std::string const& path) { return tokenizer(read_tokenizer_json(path)); }

    /// Reads the keys `tokenizer.ggml.*`. Throws when they are damaged or describe anything but byte-level BPE.
    static tokenizer from_gguf(gguf const& file) { return tokenizer(read_tokenizer_gguf(file)); }

    /// Throws when the rules of the file take more work on this text than is allowed.
    std::vector<std::int32_t> encode(std::string_view text,
                                     special_tokens special = special_tokens::recognised) const {
        std::vector<std::int32_t> tokens;
        auto const as_text = special == special_tokens::plain_text;
        encode(
            text, tokens, [&](std::size_t, std::size_t) { return as_text; }, [](std::string_view) {},
            [](auto&&...) {});
        return tokens;
    }

    /// Tokens, and where in the text they are.
    struct placed_tokens {
        struct special {
            std::size_t begin, end;  ///< bytes of the text
        };
        std::vector<std::int32_t> tokens{};
        std::vector<std::size_t> ends{};  ///< of each token the byte of the text behind it
        std::vector<special> specials{};  ///< the special tokens that were recognised
        /// False: in a part between added tokens the text is not the bytes of its tokens, as a normal form was made of
        /// it, so the ends inside of that part may be a few bytes off.
        bool exact = true;
    };

    /// As the first, and a special token is plain text where `is_text(begin, end)`.
    template <class IsText>
    placed_tokens encode_placed(std::string_view text, IsText&& is_text) const {
        placed_tokens result;
        auto const end_of_part = [&](std::string_view part) {
            auto at = static_cast<std::size_t>(part.data() - text.data());
            auto const last = at + part.size();
            while (result.ends.size() < result.tokens.size()) {
                at += token(result.tokens[result.ends.size()]).size();
                result.ends.push_back(std::min(at, last));
            }
            result.exact = result.exact && at == last;
        };
        encode(text, result.tokens, is_text, end_of_part,
               [&](added_token const& found, std::size_t begin, std::size_t end, bool is_apart) {
                   if (is_apart) result.ends.push_back(end);
                   if (found.special) result.specials.push_back({begin, end});
               });
        return result;
    }

    /// The bytes of the tokens, one after the other. Where they end or begin inside a character, so does the result.
    /// Throws when one is not in the vocabulary.
    std::string decode(std::span<std::int32_t const> tokens) const {
        std::string text;
        for (auto const id : tokens) text += token(id);
        return text;
    }

    /// One more than the largest id. Not every id below it need have a token.
    std::int64_t vocabulary() const noexcept { return static_cast<std::int64_t>(all_->texts.size()); }

    /// The bytes of a token. Throws when it is not in the vocabulary.
    std::string_view token(std::int32_t id) const {
        if (id >= 0 && id < vocabulary() && !all_->there[static_cast<std::size_t>(id)])
            throw error({all_->file}, "token " + std::to_string(id), "one that the vocabulary has");
        if (id < 0 || id >= vocabulary())
            throw error({all_->file}, "token " + std::to_string(id),
                        "one below the vocabulary of " + std::to_string(vocabulary()));
        return all_->texts[static_cast<std::size_t>(id)];
    }

    /// The token with this text, as `id_of("<|im_end|>")`. Throws when there is none.
    std::int32_t id_of(std::string_view text) const {
        auto const found = all_->ids.find(text);
        if (found == all_->ids.end()) throw error({all_->file}, "no token " + printable(text), "one");
        return found->second;
    }

    /// What the file says begins and ends a text, if it does.
    std::optional<std::int32_t> begin_of_text() const noexcept { return all_->begin; }
    std::optional<std::int32_t> end_of_text() const noexcept { return all_->end; }

    /// The Jinja template of a chat; empty when the file holds none.
    std::string const& chat_template() const noexcept { return all_->chat_template; }

    /// The file that it was read from.
    std::string const& path() const noexcept { return all_->file; }

  private:
    explicit tokenizer(std::shared_ptr<tokenizer_tables const> all) : all_(std::move(all)) {}

    /// `is_text(begin, end)`: whether a special token there is plain text. `end_of_part(part)` is called behind the
    /// tokens of a part between the tokens that are found first, `at_token(token, begin, end, is_apart)` behind one of
    /// those, or one inside of a part.
    template <class IsText, class EndOfPart, class AtToken>
    void encode(std::string_view text, std::vector<std::int32_t>& tokens, IsText&& is_text,
                EndOfPart&& end_of_part, AtToken&& at_token) const {
        // Words stay below 2^32 bytes, with a space before them too.
        constexpr std::size_t longest = std::numeric_limits<std::int32_t>::max();
        if (text.size() > longest)
            throw error({}, "a text of " + std::to_string(text.size()) + " bytes",
                        "at most " + std::to_string(longest) + " at a time");
        auto cutter = pre_tokenizer::cutter(all_->rules);
        search_work work(text.size());
        byte_pairs::workspace space;
        auto const word = [&](std::string_view bytes) {
            if (auto const whole = all_->whole_words.find(bytes); whole != all_->whole_words.end())
                tokens.push_back(whole->second);
            else all_->pairs.encode(bytes, tokens, space);
        };
        auto const plain = [&](std::string_view part) {
            while (!part.empty()) {
                auto const valid = utf8::valid_prefix(part);
                cutter.words(part.substr(0, valid), work, word);
                part.remove_prefix(valid);
                std::size_t invalid = 0;
                while (invalid < part.size() && utf8::character(part.substr(invalid)) == 0) ++invalid;
                if (invalid > 0) word(part.substr(0, invalid));
                part.remove_prefix(invalid);
            }
        };
        all_->added_first.split(
            text, is_text,
            [&](std::string_view part) {
                auto const given = part;
                auto const from = static_cast<std::size_t>(part.data() - text.data());
                std::string normal, next;
                for (auto const form : all_->forms) {
                    next.clear();
                    normalize(part, form, next);
                    normal.swap(next);
                    part = normal;
                }
                // Where a normal form has moved the bytes it is the whole part that is asked about.
                auto const kept = all_->forms.empty() || part == given;
                all_->added_then.split(
                    part,
                    [&](std::size_t begin, std::size_t end) {
                        return kept ? is_text(from + begin, from + end) : is_text(from, from + given.size());
                    },
                    plain,
                    [&](added_token const& found, std::size_t begin, std::size_t end) {
                        tokens.push_back(static_cast<std::int32_t>(found.id));
                        if (kept) at_token(found, from + begin, from + end, false);
                    });
                end_of_part(given);
            },
            [&](added_token const& found, std::size_t begin, std::size_t end) {
                tokens.push_back(static_cast<std::int32_t>(found.id));
                at_token(found, begin, end, true);
            });
    }

    std::shared_ptr<tokenizer_tables const> all_;
};

}  // namespace snug::SNUG_TARGET::io
