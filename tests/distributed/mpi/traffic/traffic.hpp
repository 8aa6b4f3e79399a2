// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdio>
#include <distributed/count_mpi.hpp>
#include <distributed/either_world.hpp>
#include <distributed/exchange.hpp>
#include <snug/snug.hpp>

/// What a trainer sends in a step is `traffic` of it, and what it computes over processes it computes over threads.
namespace snug_test {

using model = snug::models::gpt2<snug::layers<3>, snug::heads<2>, snug::width<64>, snug::vocabulary<97>,
                                 snug::context<32>>;

template <class Sharding, int MicroBatches, class... Policies>
using sharded = snug::trainer<model, snug::batch<2, 16>, snug::accumulation::micro_batches<MicroBatches>,
                              Sharding, snug::over<either_world>, Policies...>;

/// One step's tokens of a rank.
template <class T>
class tokens_of_rank {
  public:
    tokens_of_rank(int step, int rank) {
        for (std::size_t i = 0; i < count; ++i) {
            auto const x = i * 31 + static_cast<std::size_t>(step * 17 + rank * 7);
            inputs_[i] = static_cast<std::int32_t>(x * x % 97);
            targets_[i] = static_cast<std::int32_t>((x * 5 + i) % 97);
        }
        if (rank == 1) targets_[3] = -1;
    }
    snug::token_batch batch() const { return {inputs_, targets_, {}}; }

  private:
    static constexpr auto count = static_cast<std::size_t>(T::tokens_per_step);
    std::array<std::int32_t, count> inputs_{}, targets_{};
};

inline constexpr int steps = 3;
/// Losses and norms.
using results = std::array<double, 2 * steps>;

template <class T, class World>
results trained(World& of, bool counts) {
    either_world world(of);
    auto const run = std::make_unique<T>(world, 3);
    results found{};
    for (int i = 0; i < steps; ++i) {
        tokens_of_rank<T> const tokens(i, world.rank());
        sent() = {};
        auto const result = run->step(tokens.batch());
        constexpr auto& expected = snug::traffic<T>;
        if (counts)
            require(sent() == sent_counts{expected.sent_per_step.count, expected.messages_per_step},
                    "a step sends what traffic says: " + std::to_string(sent().bytes) + " bytes in " +
                        std::to_string(sent().messages) + " messages, not " +
                        std::to_string(expected.sent_per_step.count) + " in " +
                        std::to_string(expected.messages_per_step));
        found[static_cast<std::size_t>(2 * i)] = result.loss;
        found[static_cast<std::size_t>(2 * i + 1)] = result.gradient_norm;
    }
    return found;
}

/// For trainers of as many ranks as there are processes; others are left alone.
template <class T>
void check(char const* name, snug::distributed::mpi& world) {
    constexpr int ranks = T::composition::ranks;
    if (world.size() != ranks) return;
    auto const found = trained<T>(world, true);
    for (double const one : found) require(one > 0 && one < 100, "numbers as of a training");
    // Everywhere the same.
    snug::distributed::mpi::transfer transfer(world, 2 * ranks);
    std::array<results, static_cast<std::size_t>(ranks)> all{};
    all[static_cast<std::size_t>(world.rank())] = found;
    snug::distributed::all_gather(world, transfer, std::as_writable_bytes(std::span(all)));
    world.wait(transfer);
    for (auto const& one : all) require(one == found, "all ranks find the same");
    if (!world.is_root()) return;
    snug::distributed::threads::run(ranks, [&](snug::distributed::threads& threads) {
        require(trained<T>(threads, false) == found,
                std::string(name) + ": threads find what processes find");
    });
    constexpr auto& expected = snug::traffic<T>;
    std::printf("%s, %d ranks: %lld bytes in %lld messages a step\n", name, ranks,
                static_cast<long long>(expected.sent_per_step.count),
                static_cast<long long>(expected.messages_per_step));
}

/// A program of it.
template <class Checks>
int run_checks(Checks const& checks) try {
    snug::distributed::mpi world;
    try {
        checks(world);
    } catch (std::exception const& e) {
        std::fprintf(stderr, "rank %d: %s\n", world.rank(), e.what());
        throw;
    }
    return 0;
} catch (std::exception const&) {
    return 1;
}

}  // namespace snug_test
