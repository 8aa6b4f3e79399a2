// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <memory>
#include <snug/distributed/collectives.hpp>
#include <snug/distributed/mpi.hpp>
#include <snug/distributed/self.hpp>

#include "../measure.hpp"

/// What the benchmarks that mpirun starts share.
namespace measure {

/// All ranks are here.
inline void meet(snug::distributed::mpi& world, snug::distributed::mpi::transfer& transfer) {
    std::array<std::byte, 64> room{};
    snug::distributed::all_gather(world, transfer,
                                  std::span(room).first(static_cast<std::size_t>(world.size())));
    world.wait(transfer);
}

/// Seconds from when all ranks are here to when all have done it.
template <class Call>
double seconds_of_all(snug::distributed::mpi& world, snug::distributed::mpi::transfer& transfer,
                      Call const& call) {
    meet(world, transfer);
    double const start = now();
    call();
    meet(world, transfer);
    return now() - start;
}

/// Two ways by turns, each first in every other round; the median over rounds of `first` by `second`.
struct ratio {
    double median, fastest, first_seconds, second_seconds;
};
template <class Time>
ratio by_turns(int rounds, Time const& first, Time const& second) {
    times a, b, quotients;
    for (int i = 0; i < rounds; ++i) {
        auto const time_first = [&] { a.seconds.push_back(first()); };
        auto const time_second = [&] { b.seconds.push_back(second()); };
        if (i % 2) time_second(), time_first();
        else time_first(), time_second();
        quotients.seconds.push_back(a.seconds.back() / b.seconds.back());
    }
    return {quotients.median(), a.fastest() / b.fastest(), a.median(), b.median()};
}

}  // namespace measure
