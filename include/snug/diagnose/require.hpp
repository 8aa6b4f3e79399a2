// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <snug/error.hpp>
#include <string>
#include <string_view>
#include <type_traits>

namespace snug::SNUG_TARGET::detail {

inline std::string number_as_text(double value) {
    if (std::isnan(value)) return "NaN";
    if (std::isinf(value)) return value > 0 ? "infinity" : "-infinity";
    char characters[32];
    std::snprintf(characters, sizeof characters, "%.7g", value);
    return characters;
}

/// A number that a user sets at run time, by the name it has there ("options.weight_decay"). Throws unless it `holds`. Called in
/// every step, so that no text is made before something is refused.
template <class Number>
void require_setting(bool holds, std::string_view name, Number found, std::string_view expected) {
    if (holds) return;
    std::string text;
    if constexpr (std::is_integral_v<Number>) text = std::to_string(found);
    else text = number_as_text(found);
    throw error({}, std::string(name) + " = " + text, std::string(expected));
}

inline void require_not_negative(std::string_view name, double found) {
    require_setting(std::isfinite(found) && found >= 0, name, found, "a finite number that is not negative");
}

/// Of an average that moves: how much of it stays.
inline void require_share(std::string_view name, double found) {
    require_setting(found >= 0 && found < 1, name, found, "from 0 to below 1");
}

}  // namespace snug::SNUG_TARGET::detail
