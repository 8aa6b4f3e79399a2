// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <snug/distributed/transport.hpp>

namespace snug::SNUG_TARGET::distributed {

/// Some of a world's ranks, in an order that all of them know: `count` from `first` on, `stride` apart.
struct group {
    int first = 0;
    int count = 1;
    int stride = 1;

    constexpr int operator[](int i) const { return first + i * stride; }
    /// Where `rank` stands in it; -1 if it is none of them.
    constexpr int find(int rank) const {
        for (int i = 0; i < count; ++i)
            if ((*this)[i] == rank) return i;
        return -1;
    }
};

template <transport World>
constexpr group everybody(World const& world) {
    return {0, world.size(), 1};
}

/// Every rank of `ranks` has one of the equal parts of `all`, in their order, at its place already, and gets the others'.
/// Begins 2 (count - 1) messages, pairwise, and waits for none. All ranks of the group call it.
template <transport World, class Transfer>
void all_gather(World& world, Transfer& transfer, group ranks, std::span<std::byte> all) {
    int const own = ranks.find(world.rank());
    auto const count = static_cast<std::size_t>(ranks.count);
    if (own < 0 || all.size() % count)
        throw error({.rank = world.rank()},
                    std::to_string(all.size()) + " bytes to gather from " + std::to_string(count) + " ranks" +
                        (own < 0 ? " without this one" : ""),
                    "equal parts, one of them this rank's");
    auto const part = [&](int i) {
        return all.subspan(static_cast<std::size_t>(i) * (all.size() / count), all.size() / count);
    };
    // Each in its own order, lest all of them turn to one rank at a time.
    for (int d = 1; d < ranks.count; ++d) {
        int const from = (own + ranks.count - d) % ranks.count, to = (own + d) % ranks.count;
        world.receive(transfer, ranks[from], part(from));
        world.send(transfer, ranks[to], part(own));
    }
}

/// `all_gather` of all ranks.
template <transport World>
void all_gather(World& world, typename World::transfer& transfer, std::span<std::byte> all) {
    all_gather(world, transfer, everybody(world), all);
}

/// `bytes` of rank `root` to all others: count - 1 messages from one rank. Begins, and waits for none. All ranks call it.
template <transport World>
void broadcast(World& world, typename World::transfer& transfer, int root, std::span<std::byte> bytes) {
    if (world.rank() != root) return world.receive(transfer, root, bytes);
    for (int d = 1; d < world.size(); ++d) world.send(transfer, (root + d) % world.size(), bytes);
}

}  // namespace snug::SNUG_TARGET::distributed
