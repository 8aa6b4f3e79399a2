// SPDX-License-Identifier: Apache-2.0
// Trainers of several processes, to be started by mpirun, of which all or each may have one device.
#pragma once

#include "place.hpp"

#include <catch2/catch.hpp>
#include <distributed/trained.hpp>
#include <snug/distributed/mpi.hpp>
#include <snug/distributed/self.hpp>

namespace snug_test {

/// Three steps of four micro-batches over all ranks; in place of the snapshot, of which every rank would have to know
/// the file, all weights.
template <class World, class Sharding>
trained train_in(World& world) {
    using its = job_over<World, tiny_gpt2, Sharding, 4 / Sharding::ranks, place>;
    its trainer(world, 3);
    trainer.options.learning_rate = snug::schedule::constant(1e-2);
    trained result;
    for (int step = 0; step < 3; ++step) add_step(result, trainer, step, world.rank(), false);
    for (auto const& entry : its::composition::parameter_table.entries) {
        auto const weights = trainer.copy_of_weights(entry.name.view());
        result.snapshot.append(reinterpret_cast<char const*>(weights.data()),
                               weights.size() * sizeof(weights[0]));
    }
    return result;
}

/// As many ranks as there are: 1, 2 or 4. They leave what one leaves.
template <class World>
void give_the_bits_of_one(World& world) {
    snug::distributed::self alone;
    auto const expected = train_in<snug::distributed::self, each<1>>(alone);
    CHECK(expected.losses[2] != expected.losses[0]);
    if (world.size() == 4) CHECK((train_in<World, zero<3, 4>>(world) == expected));
    else if (world.size() == 2) CHECK((train_in<World, zero<3, 2>>(world) == expected));
    else CHECK((train_in<World, zero<3, 1>>(world) == expected));
}

}  // namespace snug_test
