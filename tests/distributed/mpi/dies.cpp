// SPDX-License-Identifier: Apache-2.0
// Ranks that exchange until rank 1 does what the first argument says, at the place that the second names. Started by
// tests/distributed/dies.sh, which judges what is left. Every rank writes its process id to FOLDER/pid.RANK, rank 1 the time of its
// deed in nanoseconds to FOLDER/time.
#include <unistd.h>

#include <distributed/mpi/deed.hpp>
#include <fstream>
#include <iostream>
#include <snug/distributed/collectives.hpp>
#include <snug/distributed/mpi.hpp>
#include <vector>

namespace dist = snug::distributed;

namespace {

int run(std::string const& how, std::string const& place, std::string const& folder) {
    dist::mpi world;
    auto const n = static_cast<std::size_t>(world.size());
    std::ofstream(folder + "/pid." + std::to_string(world.rank())) << ::getpid() << std::flush;
    // Long enough that a message is under way until the other side takes it.
    std::vector<std::byte> all(n * 300000);
    dist::mpi::transfer transfer(world, 2 * world.size());
    for (int step = 0;; ++step) {
        bool const now = world.rank() == 1 && (step == 20 || place == "start");
        world.doing = {step, "exchange", "blocks", 7};
        if (now && place != "middle" && snug_test::does(how, folder)) return 0;
        dist::all_gather(world, transfer, all);
        if (now && place == "middle" && snug_test::does(how, folder)) return 0;
        world.wait(transfer);
    }
}

}  // namespace

int main(int, char** arguments) {
    std::string const how = arguments[1], place = arguments[2], folder = arguments[3];
    if (how != "caught") return run(how, place, folder);
    try {
        return run(how, place, folder);
    } catch (std::exception const& e) {
        std::cerr << "main says: " << e.what() << '\n';
        return 1;
    }
}
