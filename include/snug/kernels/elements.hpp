// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <snug/meta.hpp>
#include <type_traits>

/// What is done to one element of an array, as named function objects for `ops`.
namespace snug::SNUG_TARGET::kernels {

struct set_to_zero {
    template <class T>
    constexpr void operator()(index_t i, T* values) const {
        values[i] = T(0.0f);
    }
};

/// The elements of one array in the type of another.
struct convert {
    template <class From, class To>
    constexpr void operator()(index_t i, From const* from, To* to) const {
        to[i] = static_cast<To>(from[i]);
    }
};

struct square_of {
    template <class T>
    constexpr double operator()(index_t i, T const* values) const {
        auto const value = static_cast<double>(values[i]);
        return value * value;
    }
};

/// A number of any format, which need convert to float only.
template <class T>
constexpr double as_double(T value) {
    if constexpr (std::is_same_v<T, double>) return value;
    else return static_cast<double>(static_cast<float>(value));
}

/// 1 for infinity and NaN, else 0.
struct is_not_finite {
    template <class T>
    constexpr double operator()(index_t i, T const* values) const {
        auto const value = as_double(values[i]);
        return value - value == 0 ? 0 : 1;
    }
};

/// Initial values (snug/layers/initial.hpp), element `first` + i of the tensor that `stream` numbers, by way of type Through;
/// the copy in `master`, unless null, is not rounded further.
template <class Initial, class Through>
struct initialise {
    template <class T, class Master>
    constexpr void operator()(index_t i, std::uint64_t seed, std::uint64_t stream, index_t first, T* values,
                              Master* master) const {
        auto const value =
            static_cast<Through>(Initial::value(seed, stream, static_cast<std::uint64_t>(first + i)));
        if (master != nullptr) master[i] = static_cast<Master>(value);
        values[i] = static_cast<T>(value);
    }
};

}  // namespace snug::SNUG_TARGET::kernels
