// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <compare>
#include <cstdint>
#include <ostream>
#include <snug/target.hpp>
#include <string>

namespace snug::SNUG_TARGET {

/// An amount of memory in bytes. A strong type: it never mixes with a count of elements.
struct bytes {
    std::int64_t count = 0;

    friend constexpr auto operator<=>(bytes, bytes) = default;
    // nvcc 13 does not define the one that comes with operator<=>.
    friend constexpr bool operator==(bytes, bytes) = default;
    friend constexpr bytes operator+(bytes a, bytes b) { return {a.count + b.count}; }
    friend constexpr bytes operator-(bytes a, bytes b) { return {a.count - b.count}; }
    friend constexpr bytes operator*(bytes a, std::int64_t n) { return {a.count * n}; }
    friend constexpr bytes operator*(std::int64_t n, bytes a) { return {a.count * n}; }
    constexpr bytes& operator+=(bytes other) { return *this = *this + other; }
    /// A ratio of two amounts.
    friend constexpr double operator/(bytes a, bytes b) {
        return static_cast<double>(a.count) / static_cast<double>(b.count);
    }
};

inline namespace literals {
// `using namespace snug;` finds these.
constexpr bytes operator""_B(unsigned long long n) { return {static_cast<std::int64_t>(n)}; }
constexpr bytes operator""_KiB(unsigned long long n) { return {static_cast<std::int64_t>(n) << 10}; }
constexpr bytes operator""_MiB(unsigned long long n) { return {static_cast<std::int64_t>(n) << 20}; }
constexpr bytes operator""_GiB(unsigned long long n) { return {static_cast<std::int64_t>(n) << 30}; }
constexpr bytes operator""_TiB(unsigned long long n) { return {static_cast<std::int64_t>(n) << 40}; }
}  // namespace literals

/// Human units with one decimal ("14.0 GiB", "512.0 MiB", "96 B"), rounded to nearest; the exact count below 1 KiB.
constexpr std::string to_string(bytes amount) {
    auto const digits = [](std::int64_t n) {
        std::string text;
        do text.insert(text.begin(), static_cast<char>('0' + n % 10));
        while (n /= 10);
        return text;
    };
    if (amount.count < 0) return "-" + to_string(bytes{-amount.count});
    constexpr char const* units[] = {" KiB", " MiB", " GiB", " TiB"};
    if (amount.count < 1024) return digits(amount.count) + " B";
    int unit = 0;
    std::int64_t scale = 1024;
    // 1023.95 of a unit would print as 1024.0: go on to the next.
    while (unit < 3 && amount.count >= scale * 1024 - scale / 20) scale *= 1024, ++unit;
    auto const whole = amount.count / scale;
    auto const tenths = whole * 10 + ((amount.count % scale) * 10 + scale / 2) / scale;
    return digits(tenths / 10) + "." + digits(tenths % 10) + units[unit];
}

inline std::ostream& operator<<(std::ostream& out, bytes amount) { return out << to_string(amount); }

/// Rounds `n` up to a multiple of `step`.
constexpr std::int64_t round_up(std::int64_t n, std::int64_t step) { return (n + step - 1) / step * step; }

}  // namespace snug::SNUG_TARGET
