// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include <snug/utf8.hpp>

namespace snug::SNUG_TARGET::io {

/// How byte-level vocabularies write bytes in files (GPT-2, 2019): the printable bytes of Latin-1 stand for themselves, the
/// other 68, in order, are written as U+0100, U+0101, ...
class byte_letters {
  public:
    constexpr byte_letters() {
        byte_of_.fill(-1);
        std::uint32_t other = 0x100;
        for (std::uint32_t byte = 0; byte < 256; ++byte) {
            auto const printable =
                (byte > 0x20 && byte < 0x7f) || (byte > 0xa0 && byte < 0x100 && byte != 0xad);
            byte_of_[printable ? byte : other++] = static_cast<std::int16_t>(byte);
        }
    }

    /// The bytes that `letters` stand for; nothing when one of its characters stands for none.
    std::optional<std::string> bytes(std::string_view letters) const {
        std::string result;
        while (!letters.empty()) {
            auto const length = utf8::character(letters);
            if (length == 0) return std::nullopt;
            auto const point = utf8::code_point(letters);
            if (point >= byte_of_.size() || byte_of_[point] < 0) return std::nullopt;
            result += static_cast<char>(byte_of_[point]);
            letters.remove_prefix(length);
        }
        return result;
    }

  private:
    std::array<std::int16_t, 0x100 + 68> byte_of_{};
};

}  // namespace snug::SNUG_TARGET::io
