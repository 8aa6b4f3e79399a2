// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <snug/error.hpp>
#include <snug/io/file.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

/// Dictionaries in the format of Debian's dict-foldoc and dict-jargon, as `zcat` writes a .dict.dz.
namespace example {

struct dictionary_entry {
    std::string headword;
    std::string text;  ///< paragraphs as lines, without marks of links
};

namespace detail {

/// Adds a line to a text: words separated by one space.
inline void append_words(std::string_view line, std::string& text) {
    for (char const c : line) {
        auto const is_space = c == ' ' || c == '\t' || c == '\r';
        if (!is_space) text += c;
        else if (!text.empty() && text.back() != ' ' && text.back() != '\n') text += ' ';
    }
    if (!text.empty() && text.back() != ' ') text += ' ';
}

/// "see {bit bucket}" as "see bit bucket". A link may be broken after its brace.
inline std::string without_links(std::string_view text) {
    std::string plain;
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] == '}') continue;
        if (text[i] != '{') plain += text[i];
        else if (i + 1 < text.size() && text[i + 1] == ' ') ++i;
    }
    return plain;
}

/// An entry is worth learning when its text says more than where to look instead.
inline bool is_explained(dictionary_entry const& entry) {
    return !entry.headword.empty() && entry.headword.size() <= 40 && !entry.headword.starts_with("00-") &&
           std::count(entry.text.begin(), entry.text.end(), ' ') >= 5;
}

}  // namespace detail

/// The entries that explain something, in the order of the file. A headword begins its line and follows an empty one; its
/// entry is indented. A line indented by one space is the pronunciation, which is left out. Throws when the file is
/// missing or has no entry.
inline std::vector<dictionary_entry> read_dictionary(std::string const& path) {
    snug::io::mapping const file(path);
    std::string_view rest(reinterpret_cast<char const*>(file.bytes().data()), file.bytes().size());
    std::vector<dictionary_entry> entries;
    dictionary_entry now;
    auto const finish = [&] {
        now.text = detail::without_links(now.text);
        while (!now.text.empty() && (now.text.back() == ' ' || now.text.back() == '\n')) now.text.pop_back();
        if (detail::is_explained(now)) entries.push_back(std::move(now));
        now = {};
    };
    bool after_empty = true;
    while (!rest.empty()) {
        auto const line = rest.substr(0, rest.find('\n'));
        rest.remove_prefix(std::min(rest.size(), line.size() + 1));
        bool const is_empty = line.find_first_not_of(" \t\r") == line.npos;
        bool const is_indented = !is_empty && (line[0] == ' ' || line[0] == '\t');
        bool const is_pronunciation = is_indented && line[0] == ' ' && line[1] != ' ';
        if (is_empty) {
            if (!now.text.empty() && now.text.back() == ' ') now.text.back() = '\n';
        } else if (!is_indented) {
            // A second line is another name of the same thing, or prose.
            if (after_empty) {
                finish();
                now.headword = line.substr(0, line.find("%%%"));  // other names follow
            }
        } else if (!is_pronunciation) {
            detail::append_words(line, now.text);
        }
        after_empty = is_empty;
    }
    finish();
    if (entries.empty())
        throw snug::error({path}, "no entry",
                          "headwords at the start of lines, and indented text below each");
    return entries;
}

/// The text without its last sentence; empty when it has only one.
inline std::string without_last_sentence(std::string_view text) {
    for (auto end = text.size(); end-- > 1;) {
        auto const is_end = text[end - 1] == '.' || text[end - 1] == '!' || text[end - 1] == '?';
        if (text[end] == '\n' || (text[end] == ' ' && is_end)) return std::string(text.substr(0, end));
    }
    return {};
}

}  // namespace example
