// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <distributed/trained.hpp>
#include <string>
#include <utility>
#include <vector>

/// One training by sixteen trainers: each stage over 1, 2, 4 and 8 ranks. Each can go on from what another has written.
namespace snug_test {

inline constexpr int micro_batches_in_all = 8;

/// Steps of a training from a snapshot on, or from the start when the path is empty.
struct stretch {
    std::vector<double> losses, norms;
    std::string snapshot;  ///< at the end

    friend bool operator==(stretch const&, stretch const&) = default;
};

struct one_of_sixteen {
    int stage, ranks;
    stretch (*train)(std::string const& from, int steps);
};

/// Stages 0 and 1 add gradients of other ranks at the end of a step, 2 and 3 after each micro-batch.
template <int Stage, int Ranks>
using sharding_of = std::conditional_t<Stage == 0, snug::sharding::data_parallel<snug::ranks<Ranks>>,
                                       zero<Stage == 0 ? 1 : Stage, Ranks>>;

/// What ranks have each their share of, and what no share may cut: a master copy, and states in blocks.
template <int Stage, int Ranks>
using trainer_of =
    job<tiny_gpt2, sharding_of<Stage, Ranks>, micro_batches_in_all / Ranks,
        snug::precision::mixed<snug::bf16>, snug::optimizers::adamw<snug::optimizers::states<snug::int8>>>;

template <int Stage, int Ranks>
stretch train_on(std::string const& from, int steps) {
    std::vector<trained> all(Ranks);
    temporary_file file;
    snug::distributed::threads::run(Ranks, [&](snug::distributed::threads& world) {
        trainer_of<Stage, Ranks> trainer(world, 3);
        trainer.options.learning_rate = snug::schedule::constant(1e-2);
        if (!from.empty()) trainer.resume(from);
        for (int step = 0; step < steps; ++step)
            add_step(all[static_cast<std::size_t>(world.rank())], trainer, static_cast<int>(trainer.steps()),
                     world.rank(), false);
        trainer.save(file.path);
    });
    for (auto const& one : all)
        if (one != all[0]) throw std::runtime_error("ranks have heard different things of a step");
    return {all[0].losses, all[0].norms, file.bytes()};
}

template <int Stage>
std::vector<one_of_sixteen> all_of_stage() {
    return {{Stage, 1, train_on<Stage, 1>},
            {Stage, 2, train_on<Stage, 2>},
            {Stage, 4, train_on<Stage, 4>},
            {Stage, 8, train_on<Stage, 8>}};
}

// Each in a file of its own.
std::vector<one_of_sixteen> stage_0();
std::vector<one_of_sixteen> stage_1();
std::vector<one_of_sixteen> stage_2();
std::vector<one_of_sixteen> stage_3();

}  // namespace snug_test
