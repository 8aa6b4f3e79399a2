// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <random>
#include <snug/random.hpp>
#include <string_view>

namespace snug::SNUG_TARGET::io::detail {

/// Drawn once in a program: who writes a file does not know it, and can't make keys that fall together.
inline std::uint64_t hash_key() {
    static std::uint64_t const key = [] {
        std::random_device source;
        return static_cast<std::uint64_t>(source()) << 32 | source();
    }();
    return key;
}

struct keyed_hash {
    std::size_t operator()(std::string_view text) const {
        auto hash = random::mix(hash_key() ^ text.size());
        while (!text.empty()) {
            std::uint64_t piece = 0;
            auto const size = std::min(text.size(), sizeof piece);
            std::memcpy(&piece, text.data(), size);
            hash = random::mix(hash ^ piece);
            text.remove_prefix(size);
        }
        return static_cast<std::size_t>(hash);
    }
};

}  // namespace snug::SNUG_TARGET::io::detail
