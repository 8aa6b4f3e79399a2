// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <snug/distributed/transport.hpp>
#include <string>
#include <type_traits>
#include <utility>

namespace snug::SNUG_TARGET {

/// For a program that is compiled for several numbers of ranks: calls `f.operator()<N>()` for the one that `world` has.
/// Throws `snug::error`, by the numbers there are, when it has another.
///
///     snug::for_ranks<1, 2, 4, 8>(world, [&]<int Ranks>() { my_trainer<Ranks> run(world); ... });
template <int... Counts, distributed::transport World, class F>
void for_ranks(World& world, F&& f) {
    bool const is_one =
        ((world.size() == Counts ? (f.template operator()<Counts>(), true) : false) || ... || false);
    if (is_one) return;
    std::string all;
    ((all += (all.empty() ? "" : ", ") + std::to_string(Counts)), ...);
    throw error({.rank = world.rank()}, std::to_string(world.size()) + " processes",
                "as many as this program was compiled for: " + all);
}

}  // namespace snug::SNUG_TARGET
