// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <boost/mp11/algorithm.hpp>
#include <boost/mp11/list.hpp>
#include <cstddef>
#include <cstdint>
#include <snug/target.hpp>
#include <string_view>
#include <utility>

namespace snug::SNUG_TARGET {

/// Sizes, counts and positions. Signed: a difference of two is meaningful. Not `index`, which is a function of POSIX.
using index_t = std::int64_t;

/// The few verbs of Boost.Mp11 in use. Everything here exists in Mp11 of Boost 1.74.
namespace meta {

namespace mp = boost::mp11;

template <class... Ts>
using list = mp::mp_list<Ts...>;

template <class List>
inline constexpr index_t size = static_cast<index_t>(mp::mp_size<List>::value);

template <class List, index_t I>
using at = mp::mp_at_c<List, static_cast<std::size_t>(I)>;

/// Position of T in List, or size<List> when it is not there.
template <class List, class T>
inline constexpr index_t find = static_cast<index_t>(mp::mp_find<List, T>::value);

template <class List, class T>
inline constexpr bool contains = mp::mp_contains<List, T>::value;

/// Calls `f(element_of_type_T{})` for every T of the list; the elements must be empty types.
template <class List, class F>
constexpr void for_each(F&& f) {
    [&]<class... Ts>(list<Ts...>*) { (f(Ts{}), ...); }(static_cast<mp::mp_rename<List, list>*>(nullptr));
}

/// Calls `f.template operator()<K>()` for K = 0, 1, ..., Count - 1.
template <int Count, class F>
constexpr void for_each_index(F&& f) {
    [&]<std::size_t... K>(std::index_sequence<K...>) { (f.template operator()<static_cast<int>(K)>(), ...); }
    (std::make_index_sequence<static_cast<std::size_t>(Count)>{});
}

}  // namespace meta

/// A string as a template argument: `named<"qkv", ...>`, `parameter<"weight", ...>`.
template <std::size_t N>
struct text {
    char characters[N] = {};

    constexpr text(char const (&literal)[N]) { std::copy_n(literal, N, characters); }
    constexpr std::string_view view() const { return {characters, N - 1}; }
};

}  // namespace snug::SNUG_TARGET
