// SPDX-License-Identifier: Apache-2.0
// What every transport promises, by processes: to be started by mpirun. Says what is not so, and ends with 1.
#include <distributed/count_mpi.hpp>
#include <distributed/exchange.hpp>
#include <iostream>
#include <snug/distributed/mpi.hpp>

namespace dist = snug::distributed;
using snug_test::failed;
using snug_test::require;

namespace {

void sends_no_more_than_it_says(dist::mpi& world) {
    int const n = world.size(), me = world.rank();
    dist::mpi::transfer transfer(world, 2 * n);
    std::vector<std::byte> all(static_cast<std::size_t>(n) * 1000);
    auto const sent = [&](auto act) {
        snug_test::sent() = {};
        act();
        world.wait(transfer);
        return snug_test::sent();
    };
    require(sent([&] { dist::all_gather(world, transfer, all); }) ==
                snug_test::sent_counts{1000 * (n - 1), n - 1},
            "an all-gather sends the own part once to every other rank");
    auto const root = me == n - 1;
    require(sent([&] { dist::broadcast(world, transfer, n - 1, std::span(all).first(10)); }) ==
                snug_test::sent_counts{root ? 10 * (n - 1) : 0, root ? n - 1 : 0},
            "a broadcast sends from its root alone");
    require(sent([&] { dist::all_gather(world, transfer, {}); }) == snug_test::sent_counts{},
            "nothing is sent for nothing");
}

void takes_back_what_nobody_answers(dist::mpi& world) {
    if (world.size() < 2) return;
    std::byte one[1]{};
    if (world.rank() == 0) {
        dist::mpi::transfer transfer(world, 1);
        world.receive(transfer, 1, one);
        require(!world.is_done(transfer), "nothing has arrived");
    }
    // Rank 1 sends nothing to rank 0 before it has this.
    dist::mpi::transfer transfer(world, 1);
    if (world.rank() == 0) world.send(transfer, 1, one);
    if (world.rank() == 1) world.receive(transfer, 0, one);
    world.wait(transfer);
    snug_test::gathers(world);
}

}  // namespace

int main() try {
    dist::mpi world;
    require(!failed([] { dist::mpi second; }).empty(), "a second world is refused");
    require(world.local_rank() == world.rank() && world.local_size() == world.size(),
            "all of them are on this machine");
    snug_test::all_promises(world);
    sends_no_more_than_it_says(world);
    takes_back_what_nobody_answers(world);
    if (world.is_root()) std::cout << "kept by " << world.size() << " ranks\n";
} catch (std::exception const& e) {
    std::cerr << e.what() << '\n';
    return 1;
}
