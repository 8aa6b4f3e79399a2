// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>
#include <utility>

namespace snug {

/// Where something was wrong. A part that does not apply stays empty (-1 for the numbers).
struct place {
    std::string file = {};     ///< path as the user gave it
    std::int64_t offset = -1;  ///< byte from the start of the file
    std::string tensor = {};   ///< full name, e.g. "blocks.3.qkv.weight"
    int rank = -1;             ///< process, when there are several
};

/// The one exception type of snug: a run-time error that says where, what was found and what was expected.
/// `what()` is one sentence without a line break.
class error : public std::runtime_error {
  public:
    error(place where, std::string found, std::string expected)
        : std::runtime_error(sentence(where, found, expected)),
          where_(std::move(where)),
          found_(std::move(found)),
          expected_(std::move(expected)) {}

    place const& where() const noexcept { return where_; }
    std::string const& found() const noexcept { return found_; }
    std::string const& expected() const noexcept { return expected_; }

  private:
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
        return text;
    }

    place where_;
    std::string found_;
    std::string expected_;
};

}  // namespace snug
