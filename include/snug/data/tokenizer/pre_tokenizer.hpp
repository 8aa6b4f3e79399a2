// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <snug/data/tokenizer/regex.hpp>
#include <snug/utf8.hpp>

namespace snug::SNUG_TARGET::io {

/// Cuts a text into the words that are merged each by itself: steps, each of which cuts further what the one before it left.
class pre_tokenizer {
  public:
    struct step {
        regex expression;
        bool keep_matches = true;  ///< a match is a piece
        bool keep_gaps = true;     ///< what lies between matches is a piece
        bool add_prefix_space =
            false;  ///< a piece that does not begin with a space gets one, before it is cut
    };

    pre_tokenizer() = default;
    explicit pre_tokenizer(std::vector<step> steps) : steps_(std::move(steps)) {}

    /// A word's cutting, one thread's.
    class cutter {
      public:
        explicit cutter(pre_tokenizer const& rules) : rules_(&rules) {
            for (auto const& step : rules.steps_) searchers_.emplace_back(step.expression);
        }

        /// Calls `use(word)` for each word of `text` (valid UTF-8), in order. Throws when the expressions take more work
        /// than is left.
        template <class Use>
        void words(std::string_view text, search_work& work, Use&& use) {
            cut(0, text, work, use);
        }

      private:
        template <class Use>
        void cut(std::size_t number, std::string_view text, search_work& work, Use& use) {
            if (text.empty()) return;
            if (number == searchers_.size()) return use(text);
            auto const& step = rules_->steps_[number];
            std::string spaced;
            if (step.add_prefix_space && text.front() != ' ') text = spaced = ' ' + std::string(text);
            std::size_t done = 0;  // everything before it is in a piece
            for (std::size_t from = 0; from <= text.size();) {
                auto const found = searchers_[number].find(text, from, work);
                if (!found) break;
                if (step.keep_gaps) cut(number + 1, text.substr(done, found->begin - done), work, use);
                if (step.keep_matches)
                    cut(number + 1, text.substr(found->begin, found->end - found->begin), work, use);
                done = from = found->end;
                // An empty match only parts what is on either side of it.
                if (found->begin == found->end)
                    from += std::max<std::size_t>(1, utf8::character(text.substr(from)));
            }
            if (step.keep_gaps) cut(number + 1, text.substr(done), work, use);
        }

        pre_tokenizer const* rules_;
        std::vector<regex::searcher> searchers_;
    };

  private:
    std::vector<step> steps_;
};

/// The rules of known families, as expressions.
namespace words_of {

/// GPT-2: contractions, letters, numbers, the rest, each with a space before it; the last space of many goes with the word
/// behind it.
inline constexpr std::string_view gpt2 =
    R"('(?:s|t|re|ve|m|ll|d)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";
/// Llama-3: contractions in upper case too, numbers in threes, line breaks by themselves.
inline constexpr std::string_view llama3 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|)"
    R"( ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
/// Qwen2: Llama-3's with each digit by itself.
inline constexpr std::string_view qwen2 = R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}|)"
                                          R"( ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
inline constexpr std::string_view digits = R"(\p{N}+)";
inline constexpr std::string_view digit = R"(\p{N})";

}  // namespace words_of

}  // namespace snug::SNUG_TARGET::io
