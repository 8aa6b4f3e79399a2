// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <snug/target.hpp>
#include <string>
#include <string_view>

namespace snug::SNUG_TARGET::utf8 {

/// Bytes of the character that `text` begins with, or 0 when it begins with no valid one (RFC 3629: nothing overlong, no
/// surrogate, nothing above U+10FFFF).
constexpr std::size_t character(std::string_view text) noexcept {
    auto const byte = [&](std::size_t i) -> unsigned {
        return i < text.size() ? static_cast<unsigned char>(text[i]) : 0u;
    };
    auto const follows = [&](std::size_t i) { return (byte(i) & 0xc0u) == 0x80u; };
    auto const first = byte(0);
    if (text.empty()) return 0;
    if (first < 0x80) return 1;
    if (first < 0xc2 || first > 0xf4) return 0;
    if (first < 0xe0) return follows(1) ? 2 : 0;
    if (first < 0xf0) {
        auto const overlong = first == 0xe0 && byte(1) < 0xa0;
        auto const surrogate = first == 0xed && byte(1) > 0x9f;
        return follows(1) && follows(2) && !overlong && !surrogate ? 3 : 0;
    }
    auto const overlong = first == 0xf0 && byte(1) < 0x90;
    auto const too_large = first == 0xf4 && byte(1) > 0x8f;
    return follows(1) && follows(2) && follows(3) && !overlong && !too_large ? 4 : 0;
}

/// Bytes at the beginning of `text` that are valid UTF-8.
constexpr std::size_t valid_prefix(std::string_view text) noexcept {
    std::size_t at = 0;
    while (at < text.size()) {
        auto const length = character(text.substr(at));
        if (length == 0) break;
        at += length;
    }
    return at;
}

/// The code point of the character that `text` begins with. Needs `character(text) > 0`.
constexpr std::uint32_t code_point(std::string_view text) noexcept {
    auto const length = character(text);
    auto const first = static_cast<unsigned char>(text[0]);
    if (length == 1) return first;
    std::uint32_t result = first & (0x7fu >> length);
    for (std::size_t i = 1; i < length; ++i)
        result = result << 6 | (static_cast<unsigned char>(text[i]) & 0x3fu);
    return result;
}

/// Unicode's property White_Space.
constexpr bool white_space(std::uint32_t point) noexcept {
    return (point >= 0x9 && point <= 0xd) || point == 0x20 || point == 0x85 || point == 0xa0 ||
           point == 0x1680 || (point >= 0x2000 && point <= 0x200a) || point == 0x2028 || point == 0x2029 ||
           point == 0x202f || point == 0x205f || point == 0x3000;
}

}  // namespace snug::SNUG_TARGET::utf8
