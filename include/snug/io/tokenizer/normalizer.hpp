// SPDX-License-Identifier: Apache-2.0
#pragma once

#if __has_include(<utf8proc.h>)
#include <utf8proc.h>
// Most tokenizers normalize nothing: a program that reads only those need not link the library.
#pragma weak utf8proc_get_property
#pragma weak utf8proc_normalize_utf32
#pragma weak utf8proc_encode_char
#pragma weak utf8proc_decompose_char
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
#include <snug/io/tokenizer/utf8.hpp>

namespace snug::io {

/// The normalization forms of Unicode (UAX 15), by utf8proc. Bytes that are not UTF-8 stay as they are and part what is
/// around them.
enum class unicode_form { nfc, nfd, nfkc, nfkd };

/// The program is compiled and linked with utf8proc (CMake's snug::tokenizer sees to that).
inline bool has_utf8proc() noexcept {
#if __has_include(<utf8proc.h>)
    return &utf8proc_decompose_char != nullptr;
#else
    return false;
#endif
}

#if __has_include(<utf8proc.h>)
/// Appends `text` in that form. Needs `has_utf8proc()`.
inline void normalize(std::string_view text, unicode_form form, std::string& to) {
    auto const composed = form == unicode_form::nfc || form == unicode_form::nfkc;
    auto const compatible = form == unicode_form::nfkc || form == unicode_form::nfkd;
    auto const options =
        static_cast<utf8proc_option_t>(UTF8PROC_STABLE | (composed ? UTF8PROC_COMPOSE : UTF8PROC_DECOMPOSE) |
                                       (compatible ? UTF8PROC_COMPAT : 0));
    std::vector<utf8proc_int32_t> points;
    auto const marks_class = [](utf8proc_int32_t point) {
        return utf8proc_get_property(point)->combining_class;
    };
    auto const flush = [&] {
        // utf8proc's own sort takes time with the square of the marks in a row.
        for (auto at = points.begin(); at != points.end();) {
            auto const starter = [&](utf8proc_int32_t point) { return marks_class(point) == 0; };
            auto const begin = std::find_if_not(at, points.end(), starter);
            at = std::find_if(begin, points.end(), starter);
            std::stable_sort(begin, at, [&](auto a, auto b) { return marks_class(a) < marks_class(b); });
        }
        auto size = static_cast<utf8proc_ssize_t>(points.size());
        if (composed) size = utf8proc_normalize_utf32(points.data(), size, options);
        for (utf8proc_ssize_t i = 0; i < size; ++i) {
            std::array<utf8proc_uint8_t, 4> bytes{};
            auto const count = utf8proc_encode_char(points[static_cast<std::size_t>(i)], bytes.data());
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
            utf8proc_decompose_char(static_cast<utf8proc_int32_t>(utf8::code_point(text)), parts.data(),
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

}  // namespace snug::io
