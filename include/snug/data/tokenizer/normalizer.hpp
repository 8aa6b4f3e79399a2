// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <dlfcn.h>
#if __has_include(<utf8proc.h>)
#include <utf8proc.h>
#endif

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <new>
#include <string>
#include <string_view>
#include <vector>

#include <snug/error.hpp>
#include <snug/io/file.hpp>
#include <snug/utf8.hpp>

namespace snug::SNUG_TARGET::io {

/// The normalization forms of Unicode (UAX 15), by utf8proc. Bytes that are not UTF-8 stay as they are and part what is
/// around them.
enum class unicode_form { nfc, nfd, nfkc, nfkd };

#if __has_include(<utf8proc.h>)
namespace detail {

/// What is used of utf8proc. Most tokenizers normalize nothing, so the library is loaded when the first one does: a program needs
/// no link to it.
struct utf8proc_library {
    decltype(&utf8proc_get_property) property = nullptr;
    decltype(&utf8proc_normalize_utf32) compose = nullptr;
    decltype(&utf8proc_encode_char) encode = nullptr;
    decltype(&utf8proc_decompose_char) decompose = nullptr;

    utf8proc_library() {
        // The binary interface of the header that is compiled with; Debian 12 has 2.8.
        bool const is_third = UTF8PROC_VERSION_MAJOR > 2 || UTF8PROC_VERSION_MINOR > 8;
        void* const library =
            dlopen(is_third ? "libutf8proc.so.3" : "libutf8proc.so.2", RTLD_NOW | RTLD_LOCAL);
        if (library == nullptr) return;
        load(library, "utf8proc_get_property", property);
        load(library, "utf8proc_normalize_utf32", compose);
        load(library, "utf8proc_encode_char", encode);
        load(library, "utf8proc_decompose_char", decompose);
    }
    explicit operator bool() const noexcept { return property && compose && encode && decompose; }

    static utf8proc_library const& get() {
        static utf8proc_library const library;
        return library;
    }

  private:
    template <class Function>
    static void load(void* library, char const* name, Function& to) {
        to = reinterpret_cast<Function>(dlsym(library, name));
    }
};

}  // namespace detail
#endif

/// utf8proc was there when the program was compiled, and is now.
inline bool has_utf8proc() {
#if __has_include(<utf8proc.h>)
    return static_cast<bool>(detail::utf8proc_library::get());
#else
    return false;
#endif
}

#if __has_include(<utf8proc.h>)
/// Appends `text` in that form. Needs `has_utf8proc()`.
inline void normalize(std::string_view text, unicode_form form, std::string& to) {
    auto const& library = detail::utf8proc_library::get();
    auto const composed = form == unicode_form::nfc || form == unicode_form::nfkc;
    auto const compatible = form == unicode_form::nfkc || form == unicode_form::nfkd;
    auto const options =
        static_cast<utf8proc_option_t>(UTF8PROC_STABLE | (composed ? UTF8PROC_COMPOSE : UTF8PROC_DECOMPOSE) |
                                       (compatible ? UTF8PROC_COMPAT : 0));
    std::vector<utf8proc_int32_t> points;
    auto const marks_class = [&](utf8proc_int32_t point) { return library.property(point)->combining_class; };
    auto const flush = [&] {
        // utf8proc's own sort takes time with the square of the marks in a row.
        for (auto at = points.begin(); at != points.end();) {
            auto const starter = [&](utf8proc_int32_t point) { return marks_class(point) == 0; };
            auto const begin = std::find_if_not(at, points.end(), starter);
            at = std::find_if(begin, points.end(), starter);
            std::stable_sort(begin, at, [&](auto a, auto b) { return marks_class(a) < marks_class(b); });
        }
        auto size = static_cast<utf8proc_ssize_t>(points.size());
        if (composed) size = library.compose(points.data(), size, options);
        for (utf8proc_ssize_t i = 0; i < size; ++i) {
            std::array<utf8proc_uint8_t, 4> bytes{};
            auto const count = library.encode(points[static_cast<std::size_t>(i)], bytes.data());
            to.append(reinterpret_cast<char const*>(bytes.data()), static_cast<std::size_t>(count));
        }
        points.clear();
    };
    while (!text.empty()) {
        auto const length = utf8::character(text);
        // Nothing composes across a character of ASCII: all before it is done.
        if (length <= 1) {
            flush();
            // Most texts are nothing else: what is followed by more of it stands for itself.
            if (length == 0 || text.size() == 1 || static_cast<unsigned char>(text[1]) < 0x80) {
                to += text.front();
                text.remove_prefix(1);
                continue;
            }
        }
        std::array<utf8proc_int32_t, 32> parts{};
        int last_boundary = 0;
        auto const count =
            library.decompose(static_cast<utf8proc_int32_t>(utf8::code_point(text)), parts.data(),
                              static_cast<utf8proc_ssize_t>(parts.size()), options, &last_boundary);
        if (count < 0 || count > static_cast<utf8proc_ssize_t>(parts.size()))
            throw error({}, "a character that utf8proc can't decompose", "one of Unicode");
        points.insert(points.end(), parts.begin(), parts.begin() + count);
        text.remove_prefix(length);
    }
    flush();
}

#else
inline void normalize(std::string_view, unicode_form, std::string&) {}
#endif

}  // namespace snug::SNUG_TARGET::io
