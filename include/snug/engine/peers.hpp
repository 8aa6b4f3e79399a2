// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <memory>
#include <snug/distributed/collectives.hpp>
#include <snug/engine/composition.hpp>
#include <snug/engine/places.hpp>
#include <snug/error.hpp>
#include <span>
#include <string>
#include <vector>

namespace snug::SNUG_TARGET {

namespace refusal {

template <class World>
struct the_world_of_this_trainer_is_not_in_this_file {
    static_assert(
        requires { sizeof(World); },
        "snug: a sharded trainer runs over a world whose class is not in this file (see World). "
        "Include snug/distributed/mpi.hpp, threads.hpp or self.hpp beside snug/snug.hpp, and nccl.cuh "
        "for over<distributed::nccl>");
};

}  // namespace refusal

namespace engine {

/// What a trainer does again and again with the same arguments, so that a device can repeat it at once: what differs
/// lies in memory. Passes of a micro-batch without and with several examples in a row; the additions at the end of
/// a step; the gathering of weights after an update.
enum class repeated { passes, passes_of_examples, reduction, gathering };
inline constexpr std::size_t kinds_of_repeated = 4;

/// What a trainer has of other ranks: nothing, when it is alone.
template <class C>
struct peers {
    static constexpr int rank() { return 0; }
    static constexpr int shard() { return 0; }
};

/// Messages of a device's memory, of a world that moves it.
template <class World>
struct device_messages {
    device_messages(World&, int) {}
};
template <class World>
    requires moves_device_memory<World>
struct device_messages<World> : World::device_transfer {
    using World::device_transfer::device_transfer;
};

/// What a world that moves a device's memory keeps of messages that the device repeats.
template <class World>
struct repeated_messages {};
template <class World>
    requires moves_device_memory<World>
struct repeated_messages<World> : World::repeated_messages {
};

/// Messages that are waited for together, and where they are staged, if they are.
template <class World>
struct transfer {
    transfer(World& world, int most, index_t first = 0)
        : messages(world, most), of_device(world, most), room(first) {
        arrivals.reserve(static_cast<std::size_t>(most));
    }

    struct arrival {
        std::byte* to;
        std::span<std::byte> staged;
    };
    typename World::transfer messages;  ///< of the program's memory
    device_messages<World> of_device;
    index_t room = 0;  ///< where its part of the staging memory begins
    index_t used = 0;  ///< of it, so far
    std::vector<arrival> arrivals{};
};

/// The messages under way of a trainer, in a type of its own: a file that asserts a budget knows no transport.
template <class World>
struct messages {
    /// For exchanges with so many others, and `ahead` gatherings of up to `arrays` arrays beside the one that is
    /// waited for.
    messages(World& world, int others, int ahead, int arrays, staging_rooms const& rooms)
        : exchanges{transfer<World>(world, 2 * others, rooms.exchange(0)),
                    transfer<World>(world, 2 * others, rooms.exchange(1))},
          talk(world, 2 * others, rooms.talk()) {
        for (int i = 0; i <= ahead; ++i)
            gatherings.emplace_back(world, 2 * others * arrays, rooms.gathering(i));
    }

    std::array<transfer<World>, 2>
        exchanges;  ///< pieces of gradients, of which one is added while the next travels
    std::vector<transfer<World>> gatherings{};  ///< weights of units
    transfer<World> talk;                       ///< everything that is waited for at once
    std::array<repeated_messages<World>, kinds_of_repeated> repeated{};
};

/// Its world, and the messages under way.
template <class C>
requires C::is_sharded struct peers<C> {
    using world_type = typename C::world;

    /// Nobody: for what is refused anyway.
    peers() = default;
    /// Throws `snug::error` when the world has another number of ranks than the trainer was compiled for.
    explicit peers(world_type& of)
        : world(&checked(of)),
          under_way(std::make_unique<messages<world_type>>(of, C::ranks - 1, ahead, arrays_of_a_unit,
                                                           C::staging)) {}

    int rank() const { return world->rank(); }
    /// Which share of the model this rank holds.
    int shard() const { return rank() % C::shards; }
    /// The ranks that have a model between them, this one among them, in the order of shares.
    distributed::group of_model() const { return {rank() - shard(), C::shards, 1}; }
    /// Those that hold the same share, in the order of replicas.
    distributed::group of_share() const { return {shard(), C::replicas, C::shards}; }
    auto& exchange(index_t slot) const { return under_way->exchanges[static_cast<std::size_t>(slot)]; }
    auto& gathering(std::size_t which) const {
        return under_way->gatherings[which % under_way->gatherings.size()];
    }
    auto& talk() const { return under_way->talk; }

    world_type* world = nullptr;
    std::unique_ptr<messages<world_type>> under_way;

  private:
    static constexpr int ahead = C::gathers_weights ? C::sharding::prefetch : -1;
    static constexpr int arrays_of_a_unit = 4;  // one of each `sharding::storage`
    static world_type& checked(world_type& of) {
        static_assert(sizeof(refusal::the_world_of_this_trainer_is_not_in_this_file<world_type>) > 0);
        if (of.size() == C::ranks) return of;
        auto const built = std::to_string(C::ranks), found = std::to_string(of.size());
        throw error({.rank = of.rank()}, found + (of.size() == 1 ? " process" : " processes"),
                    built + ", as this trainer was compiled for: start it with mpirun -n " + built +
                        ", or give it snug::ranks<" + found + ">");
    }
};

}  // namespace engine
}  // namespace snug::SNUG_TARGET
