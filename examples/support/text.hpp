// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

namespace example {

/// Nothing that a terminal would obey.
inline std::string for_terminal(std::string text) {
    for (auto& c : text)
        if ((static_cast<unsigned char>(c) < 0x20 && c != '\n' && c != '\t') || c == 0x7f) c = '?';
    return text;
}

}  // namespace example
