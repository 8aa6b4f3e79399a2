// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <snug/target.hpp>
#include <tuple>

namespace snug::SNUG_TARGET::ops {

/// A function object together with what it works on: called with further arguments it is `F{}(arguments...,
/// captured...)`. What a lambda would be, with a name: device compilers take kernels apart by the names of
/// types, and lambdas have none.
template <class F, class... Captured>
struct bound_function {
    std::tuple<Captured...> captured;

    template <class... Arguments>
    constexpr decltype(auto) operator()(Arguments... arguments) const {
        return std::apply([&](auto... values) -> decltype(auto) { return F{}(arguments..., values...); },
                          captured);
    }
};

/// `ops::for_each_row<Width>(on, rows, ops::bound<forward_row>(x, y))` calls
/// `forward_row{}(team, row, x, y)`.
template <class F, class... Captured>
constexpr bound_function<F, Captured...> bound(Captured... captured) {
    return {std::tuple<Captured...>{captured...}};
}

}  // namespace snug::SNUG_TARGET::ops
