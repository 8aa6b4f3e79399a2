// SPDX-License-Identifier: Apache-2.0
#define SNUG_TEST_ON_CUDA
#include "../trainer/nccl.hpp"

#include <distributed/exchange.hpp>

namespace {

[[maybe_unused]] int const devices = emulation::device().count = 4;

using kind = emulation::nccl_fault::kind;

}  // namespace

TEST_CASE("bits do not depend on when devices get to their work, or messages on their way") {
    using stage_3 = moved<tiny_gpt2, zero<3, 4>, snug::checkpointing::every_block>;
    auto const expected = train<stage_3>();
    emulation::device().deferred = true;
    auto const later = train<stage_3>();
    emulation::device().copies_early = true;
    auto const early = train<stage_3>();
    emulation::device().copies_early = emulation::device().deferred = false;
    CHECK((later == expected));
    CHECK((early == expected));
}

TEST_CASE("a trainer allocates its plan on each device, and nothing in a step") {
    using its = moved<tiny_gpt2, each<2>>;
    auto const before = emulation::counted();
    threads::run(2, [](threads& of) {
        nccl_world world(of);
        its trainer(world, 3);
        trained ignored;
        for (int step = 0; step < 2; ++step) add_step(ignored, trainer, step, world.rank(), false);
    });
    auto const after = emulation::counted();
    CHECK(after.device_bytes - before.device_bytes ==
          2 * its::composition::plan.size(snug::space::device_memory).count);
    CHECK(after.device_allocations - before.device_allocations == 2);
    CHECK(after.pinned_allocations - before.pinned_allocations == 2);
}

TEST_CASE("an error in any of NCCL's calls ends a training with a line that names the place") {
    using its = moved<tiny_gpt2, each<2>>;
    std::string all;
    int call = 0;
    for (bool is_over = false; !is_over; ++call) {
        emulation::fault_of_nccl() = {call % 3 == 0   ? kind::is_refused
                                      : call % 3 == 1 ? kind::fails_later
                                                      : kind::is_lost,
                                      1, call};
        std::string words;
        auto const line = said([&] {
            words = failed([] {
                threads::run(2, [](threads& of) {
                    nccl_world world(of);
                    its trainer(world, 3);
                    world.deadline = snug::distributed::seconds(1);
                    trained ignored;
                    add_step(ignored, trainer, 0, world.rank(), false);
                });
            });
        });
        emulation::fault_of_nccl() = {};
        is_over = words.empty();
        if (is_over) break;
        INFO("call " << call << ": " << line);
        CHECK_THAT(line,
                   Catch::Matches("(.|\n)*snug: rank [01], step 1, (exchange of|gather of) [a-z. 0-9]*: "
                                  "(nothing from rank [01]|internal error|unhandled system error)(.|\n)*"));
        all += line;
    }
    CHECK(call > 8);
    CHECK_THAT(all, Catch::Contains("exchange of blocks.1") &&
                        Catch::Contains("gather of gradients of embedding") &&
                        Catch::Contains("gather of losses and norms"));
}
