// SPDX-License-Identifier: Apache-2.0
/// What training over ranks costs: a step of data parallel training over two processes against two processes that
/// train at once and each alone, and a step of ZeRO-3 against one of data parallel training. A rank has 1024 tokens.
///
///   mpirun -n 2 benchmark.distributed.step [rounds]

#include <functional>
#include <snug/distributed/mpi.hpp>
#include <string>

#include "ranks.hpp"

namespace {

using namespace snug;

template <class Model, class Precision, class Sharding, class World>
using job = trainer<Model, batch<4, 256>, Precision, Sharding, over<World>>;

template <class Model, class Precision>
void compare(distributed::mpi& world, std::string const& name, double bar, int rounds) {
    using alone = job<Model, Precision, sharding::data_parallel<ranks<1>>, distributed::self>;
    using replicated = job<Model, Precision, sharding::data_parallel<ranks<2>>, distributed::mpi>;
    using sharded = job<Model, Precision, sharding::zero<3, ranks<2>>, distributed::mpi>;
    distributed::mpi::transfer transfer(world, 2);
    distributed::self one;
    auto const timed = [&](auto& run, auto const& data) -> std::function<double()> {
        run.step(data.batch());
        return [&] { return measure::seconds_of_all(world, transfer, [&] { run.step(data.batch()); }); };
    };
    measure::random_tokens<alone> const data(1 + static_cast<unsigned>(world.rank()));
    auto const print = [&](char const* what, measure::ratio const& r, double most) {
        if (world.is_root())
            std::printf("%-10s %-44s %8.1f ms %8.1f ms  %.3f (of fastest %.3f), bar %.2f: %s\n", name.c_str(),
                        what, 1e3 * r.first_seconds, 1e3 * r.second_seconds, r.median, r.fastest, most,
                        measure::verdict(r.median <= most));
        std::fflush(stdout);
    };
    auto together = std::make_unique<replicated>(world, 0);
    auto const of_both = timed(*together, data);
    {
        alone run(one, 0);
        print("data parallel / each process alone", measure::by_turns(rounds, of_both, timed(run, data)),
              bar);
    }
    sharded run(world, 0);
    print("ZeRO-3 / data parallel", measure::by_turns(rounds, timed(run, data), of_both), 1.05);
}

}  // namespace

int main(int argc, char** argv) {
    distributed::mpi world;
    if (world.size() != 2) {
        std::fprintf(stderr, "%s: start it with mpirun -n 2\n", argv[0]);
        return 2;
    }
    int const rounds = measure::count_argument(argc, argv, 9);
    if (world.is_root()) measure::print_machine();
    using bytes_gpt =
        models::llama<layers<4>, heads<4>, width<128>, mlp<352>, vocabulary<256>, context<256>, tied_head<1>>;
    compare<bytes_gpt, precision::mixed<bf16>>(world, "byte_gpt", 1.15, 5 * rounds);
    compare<models::gpt2_124m, precision::full<fp32>>(world, "GPT-2 124M", 1.05, rounds);
}
