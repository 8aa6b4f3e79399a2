// SPDX-License-Identifier: Apache-2.0
#pragma once

// Every name below carries its width; a program that uses PCRE2 in another width keeps its own.
#ifndef PCRE2_CODE_UNIT_WIDTH
#define PCRE2_CODE_UNIT_WIDTH 8
#endif
#include <pcre2.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include <snug/data/tokenizer/oniguruma.hpp>
#include <snug/error.hpp>
#include <snug/io/file.hpp>

namespace snug::SNUG_TARGET::io {

/// What searches in one text may take together: steps of the expressions and characters they run over. It grows with the
/// text alone, so that no expression and no text take time that grows with a square or worse.
class search_work {
  public:
    explicit search_work(std::size_t bytes) noexcept
        : left_(200'000 + 200 * static_cast<std::int64_t>(bytes)) {}

    /// Takes `steps` from what is left; false when that is not enough.
    bool take(std::size_t steps) noexcept { return (left_ -= static_cast<std::int64_t>(steps)) >= 0; }

  private:
    std::int64_t left_;
};

/// A regular expression over UTF-8 with Unicode classes (PCRE2), compiled once. Expressions come from files: their length,
/// nesting, and the work and memory of searches are limited.
///
/// The syntax is Oniguruma's, which tokenizer.json is written in; `detail::oniguruma` rewrites it. What is a letter or a number
/// depends on the version of Unicode that PCRE2 was built with (14 in PCRE2 10.42).
class regex {
  public:
    struct match {
        std::size_t begin, end;  ///< bytes
    };

    /// Throws, with `where`, what is no expression, one that is not understood, or a too large one.
    regex(std::string_view pattern, place where, bool literal = false) : where_(std::move(where)) {
        constexpr std::size_t longest = 10'000;
        if (pattern.size() > longest)
            throw error(where_, "a regular expression of " + std::to_string(pattern.size()) + " bytes",
                        "at most " + std::to_string(longest));
        if (literal) {
            literal_ = pattern;
            return;
        }
        auto const translated = detail::oniguruma(pattern, where_).for_pcre2();
        auto const context = owned(pcre2_compile_context_create_8(nullptr), pcre2_compile_context_free_8);
        pcre2_set_parens_nest_limit_8(context.get(), 250);
        int code = 0;
        std::size_t offset = 0;
        auto* const compiled = pcre2_compile_8(reinterpret_cast<PCRE2_SPTR8>(translated.data()),
                                               translated.size(), PCRE2_UTF, &code, &offset, context.get());
        if (!compiled)
            throw error(where_, "the regular expression " + printable(pattern) + " (" + message(code) + ")",
                        "one that PCRE2 can compile");
        compiled_ = {compiled, pcre2_code_free_8};
        // Where there is no JIT (an unknown processor, no executable memory) PCRE2 interprets.
        pcre2_jit_compile_8(compiled_.get(), PCRE2_JIT_COMPLETE);
    }

    /// Searches of one thread.
    class searcher {
      public:
        explicit searcher(regex const& expression)
            : expression_(&expression), literal_(!expression.compiled_) {
            if (literal_) return;
            found_ = owned(pcre2_match_data_create_8(1, nullptr), pcre2_match_data_free_8);
            context_ = owned(pcre2_match_context_create_8(nullptr), pcre2_match_context_free_8);
            pcre2_set_match_limit_8(context_.get(), 100'000'000);
            pcre2_set_depth_limit_8(context_.get(), 100'000);
            pcre2_set_heap_limit_8(context_.get(), 48 * 1024);  // KiB
        }

        /// The first match at or after byte `from`, which begins a character of `text`, all valid UTF-8. Throws when the
        /// search takes more than is left of `work`.
        std::optional<match> find(std::string_view text, std::size_t from, search_work& work) {
            if (literal_) {
                auto const& wanted = expression_->literal_;
                auto const at = wanted.empty() ? text.npos : text.find(wanted, from);
                if (at == text.npos) return std::nullopt;
                return match{at, at + wanted.size()};
            }
            meter measured{&work, from};
            pcre2_set_callout_8(context_.get(), &meter::count, &measured);
            auto result = search(text, from, 0);
            // The 32 KiB that JIT code has for its stack were not enough; the interpreter takes the heap.
            if (result == PCRE2_ERROR_JIT_STACKLIMIT) result = search(text, from, PCRE2_NO_JIT);
            if (result == PCRE2_ERROR_NOMATCH) return std::nullopt;
            if (result < 0)
                throw error(expression_->where_,
                            "a regular expression that fails on byte " + std::to_string(from) +
                                " of a text of " + std::to_string(text.size()) + " bytes (" +
                                (result == PCRE2_ERROR_CALLOUT ? "too many steps" : message(result)) + ")",
                            "one that needs less work");
            auto const* const ends = pcre2_get_ovector_pointer_8(found_.get());
            return match{ends[0], ends[1]};
        }
        std::optional<match> find(std::string_view text, std::size_t from) {
            search_work work(text.size());
            return find(text, from, work);
        }

      private:
        /// Called at every mark: one step, and the bytes that lie between it and the mark before.
        struct meter {
            search_work* work;
            std::size_t last;

            static int count(pcre2_callout_block_8* block, void* self) {
                auto& meter = *static_cast<struct meter*>(self);
                auto const at = block->current_position;
                auto const run = at > meter.last ? at - meter.last : meter.last - at;
                meter.last = at;
                return meter.work->take(1 + run) ? 0 : PCRE2_ERROR_CALLOUT;
            }
        };

        int search(std::string_view text, std::size_t from, std::uint32_t options) {
            return pcre2_match_8(expression_->compiled_.get(), reinterpret_cast<PCRE2_SPTR8>(text.data()),
                                 text.size(), from, PCRE2_NO_UTF_CHECK | options, found_.get(),
                                 context_.get());
        }

        regex const* expression_;
        bool literal_;
        std::unique_ptr<pcre2_match_data_8, void (*)(pcre2_match_data_8*)> found_{nullptr,
                                                                                  pcre2_match_data_free_8};
        std::unique_ptr<pcre2_match_context_8, void (*)(pcre2_match_context_8*)> context_{
            nullptr, pcre2_match_context_free_8};
    };

  private:
    template <class T>
    static std::unique_ptr<T, void (*)(T*)> owned(T* pointer, void (*free)(T*)) {
        if (!pointer) throw std::bad_alloc();
        return {pointer, free};
    }

    static std::string message(int code) {
        std::array<unsigned char, 256> text{};
        pcre2_get_error_message_8(code, text.data(), text.size());
        return reinterpret_cast<char const*>(text.data());
    }

    place where_;
    std::unique_ptr<pcre2_code_8, void (*)(pcre2_code_8*)> compiled_{nullptr, pcre2_code_free_8};
    std::string literal_;
};

}  // namespace snug::SNUG_TARGET::io
