// SPDX-License-Identifier: Apache-2.0
// Trains a small GPT on the bytes of a text by several processes:
//
//     mpirun -n 2 build/release/examples/train_distributed TEXT SNAPSHOT [STEPS]
//
// What it prints and saves is the same for 1, 2, 4 and 8 processes, to the bit; where the snapshot is there already it goes
// on from it, by as many processes as are there now.
#include <snug/distributed/for_ranks.hpp>
#include <snug/distributed/mpi.hpp>
#include <snug/snug.hpp>

#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <string>

namespace {

using namespace snug;

/// A step sees 8 micro-batches, however many ranks share them; each rank holds its part of weights, gradients and
/// optimizer states. Known here, and for 64 ranks too: what a rank takes, and what it sends.
template <int Ranks>
using byte_gpt = trainer<
    models::llama<layers<2>, heads<4>, width<64>, mlp<176>, vocabulary<256>, context<64>, tied_head<1>>,
    batch<2, 64>, accumulation::micro_batches<8 / Ranks>, sharding::zero<3, ranks<Ranks>>>;
static_assert(footprint<byte_gpt<8>>.optimizer_state < footprint<byte_gpt<1>>.optimizer_state);
static_assert(traffic<byte_gpt<2>>.sent_per_step < 8_MiB);

template <int Ranks>
void train(distributed::mpi& world, std::string const& text, std::string const& snapshot,
           std::int64_t steps) {
    byte_gpt<Ranks> run(world);
    io::token_batches<byte_gpt<Ranks>> batches(text, world);
    if (std::filesystem::exists(snapshot)) run.resume(snapshot);
    batches.resume_at(run.steps() * 16);  // 8 micro-batches of 2 sequences
    while (run.steps() < steps) {
        auto const result = run.step(batches.next());  // the same on every rank
        if (world.is_root()) std::cout << "step " << run.steps() << ": " << result << '\n';
    }
    run.save(snapshot);  // one file, written by rank 0
}

}  // namespace

int main(int argc, char** argv) {
    if (argc < 3) {
        std::cerr << "usage: mpirun -n RANKS train_distributed TEXT SNAPSHOT [STEPS]\n";
        return 2;
    }
    distributed::mpi world;
    auto const steps = argc > 3 ? std::atoll(argv[3]) : 20;
    try {
        for_ranks<1, 2, 4, 8>(world, [&]<int Ranks>() { train<Ranks>(world, argv[1], argv[2], steps); });
    } catch (error const& problem) {
        if (world.is_root()) std::cerr << "train_distributed: " << problem.what() << '\n';
        return 1;
    }
}
