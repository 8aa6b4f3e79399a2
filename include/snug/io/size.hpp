// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <compare>
#include <concepts>
#include <cstdint>
#include <limits>
#include <string>
#include <type_traits>
#include <utility>

#include <snug/error.hpp>

namespace snug::SNUG_TARGET::io {

/// The one type of a size, count or offset that a file states. Unsigned 64 bits inside; arithmetic that would
/// leave the range throws `snug::error` instead of wrapping, with the place that either operand carries.
///
/// The place is referred to, not copied: it must outlive the value and what is computed from it.
class checked {
    // Above its users: clang 14 does not find it in constant expressions otherwise.
    template <std::integral T>
    static constexpr std::uint64_t accepted(T value, place const* where) {
        if constexpr (std::is_signed_v<T>)
            if (value < 0) refuse(where, "a size of " + std::to_string(value), "a size that is not negative");
        return static_cast<std::uint64_t>(value);
    }

  public:
    constexpr checked() = default;

    template <std::integral T>
        requires(!std::same_as<T, bool> && sizeof(T) <= 8)
    constexpr checked(T value) : value_(accepted(value, nullptr)) {}

    /// A size read at `where`; every refusal that follows from it names that place.
    template <std::integral T>
        requires(!std::same_as<T, bool> && sizeof(T) <= 8)
    constexpr checked(T value, place const& where) : value_(accepted(value, &where)), where_(&where) {}
    template <std::integral T>
    checked(T, place&&) = delete;

    constexpr std::uint64_t value() const noexcept { return value_; }

    /// As a signed index. Throws above 2^63 - 1.
    constexpr std::int64_t index() const { return narrow<std::int64_t>(); }

    /// As a T. Throws when T can't hold it.
    template <std::integral T>
    constexpr T narrow() const {
        if (value_ > static_cast<std::uint64_t>(std::numeric_limits<T>::max()))
            refuse(where_, "a size of " + std::to_string(value_),
                   "at most " + std::to_string(std::numeric_limits<T>::max()));
        return static_cast<T>(value_);
    }

    /// The next multiple of `step`.
    constexpr checked rounded_up(checked step) const { return (*this + (step - 1)) / step * step; }

    friend constexpr checked operator+(checked a, checked b) {
        if (b.value_ > ~a.value_) overflow(a, " + ", b);
        return {a.value_ + b.value_, either(a, b)};
    }
    friend constexpr checked operator-(checked a, checked b) {
        if (b.value_ > a.value_) overflow(a, " - ", b);
        return {a.value_ - b.value_, either(a, b)};
    }
    friend constexpr checked operator*(checked a, checked b) {
        if (b.value_ != 0 && a.value_ > ~std::uint64_t{0} / b.value_) overflow(a, " * ", b);
        return {a.value_ * b.value_, either(a, b)};
    }
    friend constexpr checked operator/(checked a, checked b) {
        if (b.value_ == 0) overflow(a, " / ", b);
        return {a.value_ / b.value_, either(a, b)};
    }
    friend constexpr checked operator%(checked a, checked b) {
        if (b.value_ == 0) overflow(a, " % ", b);
        return {a.value_ % b.value_, either(a, b)};
    }
    constexpr checked& operator+=(checked other) { return *this = *this + other; }
    constexpr checked& operator-=(checked other) { return *this = *this - other; }
    constexpr checked& operator*=(checked other) { return *this = *this * other; }

    friend constexpr bool operator==(checked a, checked b) noexcept { return a.value_ == b.value_; }
    friend constexpr std::strong_ordering operator<=>(checked a, checked b) noexcept {
        return a.value_ <=> b.value_;
    }

  private:
    constexpr checked(std::uint64_t value, place const* where) noexcept : value_(value), where_(where) {}

    static constexpr place const* either(checked a, checked b) noexcept {
        return a.where_ ? a.where_ : b.where_;
    }

    [[noreturn]] static void overflow(checked a, char const* operation, checked b) {
        refuse(either(a, b), "a size of " + std::to_string(a.value_) + operation + std::to_string(b.value_),
               "a result from 0 to 2^64 - 1");
    }
    [[noreturn]] static void refuse(place const* where, std::string found, std::string expected) {
        throw error(where ? *where : place{}, std::move(found), std::move(expected));
    }

    std::uint64_t value_ = 0;
    place const* where_ = nullptr;
};

}  // namespace snug::SNUG_TARGET::io
