// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <distributed/exchange.hpp>
#include <distributed/trained.hpp>
#include <stdexcept>
#include <utility>

/// What ranks do together beside training.
namespace snug_test {

/// f(trainer, rank) on all ranks of a trainer: what they answer, which must be the same on each.
template <class Trainer, class F>
auto on_all_ranks(F const& f) {
    constexpr int ranks = Trainer::composition::ranks;
    using answer = decltype(f(std::declval<Trainer&>(), 0));
    std::array<answer, static_cast<std::size_t>(ranks)> all{};
    snug::distributed::threads::run(ranks, [&](snug::distributed::threads& threads) {
        in_world_of<Trainer>(threads, [&](auto& world) {
            Trainer trainer(world, 3);
            all[static_cast<std::size_t>(world.rank())] = f(trainer, world.rank());
        });
    });
    for (auto const& one : all)
        if (!(one == all[0])) throw std::runtime_error("ranks have given different answers");
    return all[0];
}

/// The next step of a training, by any number of ranks.
template <class Trainer>
double next_loss(Trainer& trainer, int rank) {
    trained result;
    trainer.options.learning_rate = snug::schedule::constant(1e-2);
    add_step(result, trainer, static_cast<int>(trainer.steps()), rank, false);
    return result.losses[0];
}

/// Where parameter p's element i is on the rank that holds it, else null.
template <class Trainer>
float* weight_of(Trainer& trainer, int p, snug::index_t i) {
    using C = typename Trainer::composition;
    return trainer.store().view().template find<float>(C::weight(p), p, i);
}

}  // namespace snug_test
