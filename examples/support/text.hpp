// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <snug/error.hpp>
#include <string>
#include <string_view>

namespace example {

/// Nothing that a terminal would obey, but for the ends of lines and tabs.
inline std::string for_terminal(std::string_view text) {
    std::string result;
    while (true) {
        auto const end = std::min(text.find_first_of("\n\t"), text.size());
        result += snug::harmless(text.substr(0, end));
        if (end == text.size()) return result;
        result += text[end];
        text.remove_prefix(end + 1);
    }
}

}  // namespace example
