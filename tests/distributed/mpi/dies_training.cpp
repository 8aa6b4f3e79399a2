// SPDX-License-Identifier: Apache-2.0
// A training by four processes in which one comes to grief. Started by tests/distributed/dies.sh and dies_saving.sh, which judge what
// is left. Every rank writes its process id to FOLDER/pid.RANK; the snapshot is FOLDER/snapshot.
//
//     HOW PLACE FOLDER                     rank 1 does what HOW says, somewhere in the training that PLACE names
//     undisturbed - FOLDER                 nothing happens; FOLDER/early keeps the first snapshot
//     going_on - FOLDER                    resumes the snapshot, or begins anew, and trains to the end
//     killed_at N FOLDER                   goes on from the snapshot; rank 0 is killed before file call N of a save
//     another_killed_at N FOLDER           rank 1 is, when rank 0 is there
#include <unistd.h>

#include <distributed/mpi/deed.hpp>
#include <distributed/trained.hpp>
#include <distributed/watched.hpp>
#include <fstream>
#include <host/io/faults.hpp>
#include <iostream>
#include <snug/distributed/mpi.hpp>

using namespace snug_test;

namespace {

constexpr int ranks = 4;
constexpr int steps = 5;
constexpr int saved_after = 2;  // and at the end

using world_type = watched<snug::distributed::mpi>;
using trainer_type = snug::trainer<snug::models::gpt2<snug::layers<2>, snug::heads<2>, snug::width<16>,
                                                      snug::vocabulary<31>, snug::context<16>>,
                                   snug::batch<1, tokens>, snug::accumulation::micro_batches<2>,
                                   zero<3, ranks>, snug::over<world_type>>;

/// A call of the world in the training: the `nth` of those that are alike.
struct place {
    std::string_view name, act;
    std::int64_t step;  ///< as `activity` counts them: the one that is worked on
    std::string_view operation, verb;
    bool is_made;
    int nth;
};
constexpr place places[] = {
    {"constructor", "constructor", -1, "agreement on a trainer", "receive", false, 1},
    {"first_gather", "step", 1, "gather of weights", "send", false, 1},
    {"forward", "step", 4, "gather of weights", "wait", true, 2},
    {"exchange", "step", 4, "exchange", "send", true, 1},
    {"norm", "step", 4, "gather of losses and norms", "receive", false, 1},
    {"update", "step", 4, "gather of losses and norms", "wait", true, 1},
    {"save", "save", steps + 1, "collecting", "send", true, 3},
    {"resume", "resume", 1, "agreement on resuming", "send", true, 1},
};

void next_step(trainer_type& trainer, int rank) {
    trainer.options.learning_rate = snug::schedule::constant(1e-2);
    trainer.step(part_of_batch(static_cast<int>(trainer.steps()), rank, ranks, 2, 31));
}

int run(std::string const& how, std::string const& where, std::string const& folder) {
    snug::distributed::mpi of;
    std::ofstream(folder + "/pid." + std::to_string(of.rank())) << ::getpid() << std::flush;
    std::string_view act;
    int seen = 0;
    world_type world(of, [&](std::string_view verb, bool is_made) {
        if (of.rank() != 1) return;
        for (auto const& one : places)
            if (where == one.name && act == one.act && of.doing.step == one.step &&
                of.doing.operation == one.operation && verb == one.verb && is_made == one.is_made &&
                ++seen == one.nth)
                does(how, folder);
    });
    auto const snapshot = folder + "/snapshot";
    act = "constructor";
    trainer_type trainer(world, 3);
    if (how == "going_on" || how.ends_with("killed_at")) {
        if (std::filesystem::exists(snapshot)) trainer.resume(snapshot);
        while (trainer.steps() < steps) next_step(trainer, of.rank());
        if (how == "going_on" || !of.is_root()) {
            trainer.save(snapshot);
            return 0;
        }
        test::faults faults;
        static auto& its_folder = folder;
        static auto& kind = how;
        faults.die_before(std::stoi(where), [] {
            if (kind == "killed_at") does("killed", its_folder);
            pid_t other = 0;
            std::ifstream(its_folder + "/pid.1") >> other;
            if (other <= 1) std::abort();
            write_time(its_folder);
            ::kill(other, SIGKILL);
        });
        trainer.save(snapshot);
        return 0;
    }
    while (trainer.steps() < steps) {
        act = "step";
        next_step(trainer, of.rank());
        act = "save";
        if (trainer.steps() == saved_after || trainer.steps() == steps) trainer.save(snapshot);
        if (trainer.steps() == saved_after && how == "undisturbed") trainer.save(folder + "/early");
    }
    if (where == "resume") {
        trainer_type second(world, 3);
        act = "resume";
        second.resume(snapshot);
    }
    return 0;
}

}  // namespace

int main(int, char** arguments) {
    std::string const how = arguments[1], where = arguments[2], folder = arguments[3];
    if (how != "caught") return run(how, where, folder);
    try {
        return run(how, where, folder);
    } catch (std::exception const& e) {
        std::cerr << "main says: " << e.what() << '\n';
        return 1;
    }
}
