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

#include <snug/error.hpp>
#include <snug/io/file.hpp>

namespace snug::io {

/// A regular expression over UTF-8 with Unicode classes (PCRE2), compiled once. Expressions come from files: their length,
/// nesting, and the work and memory of a search are limited.
///
/// The syntax is Oniguruma's, which tokenizer.json is written in. Where the same characters mean something else to PCRE2
/// they are translated (`\s`, `\S`, `^`, `$`) or refused (`\h`, `&&` and `[` in a class). What is a letter or a number depends
/// on the version of Unicode that PCRE2 was built with (14 in PCRE2 10.42).
class regex {
  public:
    struct match {
        std::size_t begin, end;  ///< bytes
    };

    /// Throws, with `where`, what is no expression or a too large one.
    regex(std::string_view pattern, place where, bool literal = false) : where_(std::move(where)) {
        constexpr std::size_t longest = 10'000;
        if (pattern.size() > longest)
            throw error(where_, "a regular expression of " + std::to_string(pattern.size()) + " bytes",
                        "at most " + std::to_string(longest));
        auto const translated = literal ? std::string(pattern) : translate(pattern);
        auto const context = owned(pcre2_compile_context_create_8(nullptr), pcre2_compile_context_free_8);
        pcre2_set_parens_nest_limit_8(context.get(), 100);
        int code = 0;
        std::size_t offset = 0;
        // \C could cut a character in two.
        auto const options =
            PCRE2_UTF | (literal ? PCRE2_LITERAL : PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C);
        auto* const compiled = pcre2_compile_8(reinterpret_cast<PCRE2_SPTR8>(translated.data()),
                                               translated.size(), options, &code, &offset, context.get());
        if (!compiled)
            throw error(where_, "the regular expression " + printable(pattern) + " (" + message(code) + ")",
                        "one that PCRE2 can compile");
        compiled_ = {compiled, pcre2_code_free_8};
        // Where there is no JIT (an unknown processor, no executable memory) PCRE2 interprets.
        pcre2_jit_compile_8(compiled_.get(), PCRE2_JIT_COMPLETE);
        context_ = {pcre2_match_context_create_8(nullptr), pcre2_match_context_free_8};
        if (!context_) throw std::bad_alloc();
        pcre2_set_match_limit_8(context_.get(), 20'000'000);
        pcre2_set_depth_limit_8(context_.get(), 100'000);
        pcre2_set_heap_limit_8(context_.get(), 64 * 1024);  // KiB
    }

    /// Searches of one thread.
    class searcher {
      public:
        explicit searcher(regex const& expression)
            : expression_(&expression),
              found_(owned(pcre2_match_data_create_8(1, nullptr), pcre2_match_data_free_8)) {}

        /// The first match at or after byte `from`, which begins a character of `text`, all valid UTF-8. Throws when the
        /// search takes more work than is allowed.
        std::optional<match> find(std::string_view text, std::size_t from) {
            auto result = search(text, from, 0);
            // The 32 KiB that JIT code has for its stack were not enough; the interpreter takes the heap.
            if (result == PCRE2_ERROR_JIT_STACKLIMIT) result = search(text, from, PCRE2_NO_JIT);
            if (result == PCRE2_ERROR_NOMATCH) return std::nullopt;
            if (result < 0)
                throw error(expression_->where_,
                            "a regular expression that fails on byte " + std::to_string(from) +
                                " of a text of " + std::to_string(text.size()) + " bytes (" +
                                message(result) + ")",
                            "one that needs less work");
            auto const* const ends = pcre2_get_ovector_pointer_8(found_.get());
            // \K inside a lookaround can turn the two around.
            if (ends[0] < from || ends[1] < ends[0])
                throw error(expression_->where_, "a regular expression that matches backwards",
                            "one without \\K");
            return match{ends[0], ends[1]};
        }

      private:
        int search(std::string_view text, std::size_t from, std::uint32_t options) {
            return pcre2_match_8(expression_->compiled_.get(), reinterpret_cast<PCRE2_SPTR8>(text.data()),
                                 text.size(), from, PCRE2_NO_UTF_CHECK | options, found_.get(),
                                 expression_->context_.get());
        }

        regex const* expression_;
        std::unique_ptr<pcre2_match_data_8, void (*)(pcre2_match_data_8*)> found_;
    };

  private:
    /// The expression as PCRE2 has to read it. White space is written out: PCRE2's `\s` counts U+180E in, which Unicode took
    /// out in version 6.3.
    std::string translate(std::string_view pattern) const {
        constexpr std::string_view spaces = "\\t-\\r\\x{85}\\p{Z}";
        std::string result;
        std::size_t class_begin = 0;  // the byte after the [ of a class, or 0
        for (std::size_t i = 0; i < pattern.size(); ++i) {
            auto const next = i + 1 < pattern.size() ? pattern[i + 1] : '\0';
            auto const in_class = class_begin > 0;
            if (pattern[i] == '\\') {
                if (next == 'h' || next == 'H') refuse_syntax(pattern, std::string("\\") + next);
                if (next == 'S' && in_class) refuse_syntax(pattern, "\\S in a class");
                if (next == 's' || next == 'S') {
                    if (!in_class) result += next == 's' ? "[" : "[^";
                    result += spaces;
                    if (!in_class) result += ']';
                } else {
                    result += pattern.substr(i, 2);
                }
                ++i;
                continue;
            }
            if (!in_class) {
                if (pattern[i] == '[') class_begin = i + (next == '^' ? 2 : 1);
            } else if (i >= class_begin) {
                // A ] that comes first is a character.
                if (pattern[i] == ']' && i > class_begin) class_begin = 0;
                if (pattern[i] == '[') refuse_syntax(pattern, "[ in a class");
                if (pattern[i] == '&' && next == '&') refuse_syntax(pattern, "&& in a class");
            }
            result += pattern[i];
        }
        return result;
    }

    [[noreturn]] void refuse_syntax(std::string_view pattern, std::string const& what) const {
        throw error(where_, "the regular expression " + printable(pattern), "one without " + what);
    }

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
    std::unique_ptr<pcre2_match_context_8, void (*)(pcre2_match_context_8*)> context_{
        nullptr, pcre2_match_context_free_8};
};

}  // namespace snug::io
