// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <unistd.h>
#include <atomic>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <mutex>
#include <snug/distributed/threads.hpp>
#include <snug/snug.hpp>
#include <string>
#include <type_traits>
#include <vector>

/// The same training by any number of ranks, as threads.
namespace snug_test {

using tiny_gpt2 = snug::models::gpt2<snug::layers<2>, snug::heads<2>, snug::width<64>, snug::vocabulary<97>,
                                     snug::context<32>>;
using tiny_llama = snug::models::llama<snug::layers<3>, snug::heads<4>, snug::kv_heads<2>, snug::width<64>,
                                       snug::mlp<176>, snug::vocabulary<101>, snug::context<32>>;

/// Micro-batches of a step over all ranks: divisible by 1, 2, 3, 4 and 8.
inline constexpr int micro_batches_of_step = 24;
inline constexpr int tokens = 12;

/// A file that is gone at the end.
struct temporary_file {
    std::string path = (std::filesystem::temp_directory_path() /
                        ("snug-distributed-" + std::to_string(::getpid()) + "-" + std::to_string(next++)))
                           .string();
    ~temporary_file() { std::filesystem::remove_all(path); }
    std::string bytes() const {
        std::ifstream file(path, std::ios::binary);
        return {std::istreambuf_iterator<char>(file), {}};
    }
    static inline std::atomic<int> next = 0;  // ranks make them, too
};

/// Rank `rank`'s part of step `step` of a sequence that does not depend on the number of ranks: micro-batch m of rank
/// d is number m · ranks + d. Some tokens are not counted, and in packed ones examples begin in the middle.
struct part_of_batch {
    std::vector<std::int32_t> inputs, targets, starts;

    part_of_batch(int step, int rank, int ranks, int micro_batches, int vocabulary, bool is_packed = false) {
        for (int m = 0; m < micro_batches; ++m) {
            auto const number = step * micro_batches * ranks + m * ranks + rank;
            for (int t = 0; t < tokens; ++t) {
                auto const token = (number * 31 + t * 7 + number * t) % vocabulary;
                inputs.push_back(token);
                targets.push_back((number + t) % 5 == 0 ? -1 : (token * 3 + t) % vocabulary);
                if (is_packed) starts.push_back(t < 5 ? 0 : 5);
            }
        }
    }
    operator snug::token_batch() const { return {inputs, targets, starts}; }
};

/// What a training leaves: all that is in a snapshot, to the byte, and what its steps said.
struct trained {
    std::vector<double> losses, norms;
    std::vector<snug::index_t> counted;
    std::string snapshot;

    friend bool operator==(trained const&, trained const&) = default;
};

template <class World, class Model, class Sharding, int MicroBatches, class... Policies>
using job_over = snug::trainer<Model, snug::batch<1, tokens>, snug::accumulation::micro_batches<MicroBatches>,
                               Sharding, snug::over<World>, Policies...>;
template <class Model, class Sharding, int MicroBatches, class... Policies>
using job = job_over<snug::distributed::threads, Model, Sharding, MicroBatches, Policies...>;

/// f(world) with the world of Trainer: these threads, or one that stands beside them.
template <class Trainer, class F>
void in_world_of(snug::distributed::threads& world, F const& f) {
    using wanted = typename Trainer::composition::world;
    if constexpr (std::is_same_v<wanted, snug::distributed::threads>) {
        f(world);
    } else {
        wanted beside(world);
        f(beside);
    }
}

template <class Trainer>
void add_step(trained& result, Trainer& trainer, int step, int rank, bool is_packed) {
    using C = typename Trainer::composition;
    part_of_batch const batch(step, rank, C::ranks, static_cast<int>(C::micro_batches),
                              static_cast<int>(C::model::vocabulary), is_packed);
    auto const done = trainer.step(batch);
    result.losses.push_back(done.loss);
    result.norms.push_back(done.gradient_norm);
    result.counted.push_back(done.tokens);
}

/// Steps by as many ranks as Trainer is for, some of the parameters in `groups`. Every rank must say the same.
template <class Trainer>
trained train(bool is_packed = false, std::vector<snug::parameter_group> const& groups = {}, int steps = 3) {
    constexpr int ranks = Trainer::composition::ranks;
    std::vector<trained> all(ranks);
    temporary_file file;
    snug::distributed::threads::run(ranks, [&](snug::distributed::threads& threads) {
        in_world_of<Trainer>(threads, [&](auto& world) {
            Trainer trainer(world, 3);
            trainer.options.learning_rate = snug::schedule::constant(1e-2);
            trainer.options.groups = groups;
            for (int step = 0; step < steps; ++step)
                add_step(all[static_cast<std::size_t>(world.rank())], trainer, step, world.rank(), is_packed);
            trainer.save(file.path);
        });
    });
    for (auto const& one : all)
        if (one != all[0]) throw std::runtime_error("ranks have heard different things of a step");
    all[0].snapshot = file.bytes();
    return all[0];
}

template <int Ranks>
using each = snug::sharding::data_parallel<snug::ranks<Ranks>,
                                           snug::sharding::reduced<snug::sharding::each_micro_batch>>;
template <int Stage, int Ranks, class... Options>
using zero = snug::sharding::zero<Stage, snug::ranks<Ranks>, Options...>;

/// The training of one rank, to compare with: what the others' gradients are added to in the same order.
template <class Model, class... Policies>
using alone = job<Model, each<1>, micro_batches_of_step, Policies...>;
template <class Model, class Sharding, class... Policies>
using shared = job<Model, Sharding, micro_batches_of_step / Sharding::ranks, Policies...>;

}  // namespace snug_test
