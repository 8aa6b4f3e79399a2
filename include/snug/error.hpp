// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <snug/utf8.hpp>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

namespace snug::SNUG_TARGET {

namespace detail {

/// A terminal or an editor obeys it, instead of showing it: controls, breaks of lines, marks of direction and
/// other signs without a shape (Unicode's Cc, Cf, Zl, Zp).
constexpr bool is_hidden(std::uint32_t code) noexcept {
    struct range {
        std::uint32_t first, last;
    };
    constexpr range hidden[] = {
        {0, 0x1f},          {0x7f, 0x9f},       {0xad, 0xad},       {0x600, 0x605},     {0x61c, 0x61c},
        {0x6dd, 0x6dd},     {0x70f, 0x70f},     {0x890, 0x891},     {0x8e2, 0x8e2},     {0x180e, 0x180e},
        {0x200b, 0x200f},   {0x2028, 0x202e},   {0x2060, 0x206f},   {0xfeff, 0xfeff},   {0xfff9, 0xfffb},
        {0x110bd, 0x110cd}, {0x13430, 0x1343f}, {0x1bca0, 0x1bca3}, {0x1d173, 0x1d17a}, {0xe0000, 0xe007f}};
    for (auto const& [first, last] : hidden)
        if (code >= first && code <= last) return true;
    return false;
}

/// Letters at both ends that two names have in common, for errors that name the closest one; linear, as names come from files.
constexpr std::size_t likeness(std::string_view a, std::string_view b) noexcept {
    auto const shorter = a.size() < b.size() ? a.size() : b.size();
    std::size_t front = 0, back = 0;
    while (front < shorter && a[front] == b[front]) ++front;
    while (front + back < shorter && a[a.size() - 1 - back] == b[b.size() - 1 - back]) ++back;
    return front + back;
}

}  // namespace detail

/// `text` as it may be shown whatever it holds, such as the name of a file: one line; what is no UTF-8, what a terminal
/// would obey, and the signs of `also`, are written as \xNN.
inline std::string harmless(std::string_view text, std::string_view also = {}) {
    constexpr char const* digits = "0123456789abcdef";
    std::string result;
    result.reserve(text.size());
    while (!text.empty()) {
        auto const size = utf8::character(text);
        bool const escaped =
            size == 0 || detail::is_hidden(utf8::code_point(text)) || also.find(text[0]) != also.npos;
        auto const taken = text.substr(0, size == 0 ? 1 : size);
        text.remove_prefix(taken.size());
        if (!escaped) result += taken;
        else
            for (auto const c : taken) {
                auto const byte = static_cast<unsigned char>(c);
                result += {'\\', 'x', digits[byte >> 4], digits[byte & 15]};
            }
    }
    return result;
}

/// Where something was wrong. A part that does not apply stays empty (-1 for the numbers).
struct place {
    std::string file = {};     ///< path as the user gave it
    std::int64_t offset = -1;  ///< byte from the start of the file
    std::string tensor = {};   ///< full name, e.g. "blocks.3.qkv.weight"
    int rank = -1;             ///< process, when there are several
};

/// The one exception type of snug: a run-time error that says where, what was found and what was expected.
/// `what()` is one sentence without a line break, harmless to show whatever the names of files and tensors are.
class error : public std::runtime_error {
  public:
    error(place where, std::string found, std::string expected)
        : std::runtime_error(sentence(where, found, expected)),
          where_(std::move(where)),
          found_(std::move(found)),
          expected_(std::move(expected)) {}

    /// What went wrong on another rank, in the words it had there.
    static error of_rank(int rank, std::string_view sentence) { return {rank, sentence}; }

    place const& where() const noexcept { return where_; }
    std::string const& found() const noexcept { return found_; }
    std::string const& expected() const noexcept { return expected_; }

  private:
    error(int rank, std::string_view sentence) : std::runtime_error(told(rank, sentence)), found_(sentence) {
        where_.rank = rank;
    }

    // Who passes on what another has passed on names the rank once.
    static std::string told(int rank, std::string_view sentence) {
        auto const name = "rank " + std::to_string(rank);
        return harmless(sentence.starts_with(name + ": ") ? std::string(sentence)
                                                          : name + ": " + std::string(sentence));
    }

    static std::string sentence(place const& where, std::string const& found, std::string const& expected) {
        std::string text;
        auto const part = [&text](std::string const& words) { text += (text.empty() ? "" : ", ") + words; };
        if (!where.file.empty()) part(where.file);
        if (where.offset >= 0) part("byte " + std::to_string(where.offset));
        if (!where.tensor.empty()) part("tensor " + where.tensor);
        if (where.rank >= 0) part("rank " + std::to_string(where.rank));
        if (!text.empty()) text += ": ";
        text += "found " + found;
        if (!expected.empty()) text += ", expected " + expected;
        return harmless(text);
    }

    place where_;
    std::string found_;
    std::string expected_;
};

}  // namespace snug::SNUG_TARGET
