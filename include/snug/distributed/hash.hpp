// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <bit>
#include <concepts>
#include <cstdint>
#include <snug/target.hpp>
#include <string_view>

namespace snug::SNUG_TARGET::distributed {

/// FNV-1a in 64 bits (Fowler, Noll, Vo), to compare what ranks hold; also at compile time. Everything added has a length of its own,
/// so that "ab", "c" is not "a", "bc".
class fnv1a {
  public:
    constexpr fnv1a& add(std::string_view text) {
        add(text.size());
        for (char const c : text) byte(static_cast<unsigned char>(c));
        return *this;
    }
    /// As 64 bits, whatever its type.
    constexpr fnv1a& add(std::integral auto number) {
        auto const bits = static_cast<std::uint64_t>(number);
        for (int i = 0; i < 8; ++i) byte(static_cast<unsigned char>(bits >> (8 * i)));
        return *this;
    }
    constexpr fnv1a& add(double number) { return add(std::bit_cast<std::uint64_t>(number)); }

    constexpr std::uint64_t value() const { return value_; }

  private:
    constexpr void byte(unsigned char b) { value_ = (value_ ^ b) * 0x100000001b3u; }

    std::uint64_t value_ = 0xcbf29ce484222325u;
};

}  // namespace snug::SNUG_TARGET::distributed
