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
    auto& device = emulation::device();
    auto const expected = train<stage_3>();
    device.deferred = true;
    auto const later = train<stage_3>();
    device.copies_early = true;
    auto const early = train<stage_3>();
    device.copies_early = false, device.messages_late = true;
    auto const last = train<stage_3>();
    device.messages_late = device.deferred = false;
    CHECK((later == expected));
    CHECK((early == expected));
    CHECK((last == expected));
}

namespace {

/// Messages of a training that let work go before them which its device was given later.
struct passed {
    std::int64_t gathers, exchanges;
};
template <class Trainer>
passed passed_in_training() {
    auto& device = emulation::device();
    auto const before = emulation::counted_of_nccl();
    device.deferred = device.messages_late = true;
    (void)train<Trainer>();
    device.deferred = device.messages_late = false;
    auto const after = emulation::counted_of_nccl();
    return {after.passed_gathers - before.passed_gathers, after.passed_exchanges - before.passed_exchanges};
}

}  // namespace

TEST_CASE("weights of the next unit come, and gradients of the last one go, while a device works on one") {
    using ahead = moved<tiny_llama, zero<3, 2>>;
    constexpr auto const& order = ahead::composition::gatherings;
    constexpr auto fresh = std::count_if(order.all.begin() + 1, order.all.begin() + order.size,
                                         [](auto const& one) { return one.is_fresh; });
    // Three blocks and what follows them, and two blocks on the way back.
    static_assert(fresh == 6);
    // The first of each of two ranks: in a graph the emulator comes to a message when its device can do nothing else.
    constexpr std::int64_t walks = 2;
    auto const found = passed_in_training<ahead>();
    // All but the first of a walk, which nothing comes before.
    CHECK(found.gathers == walks * fresh);
    CHECK(found.exchanges >= walks * 3);
    CHECK(passed_in_training<moved<tiny_llama, zero<3, 2, sharding::prefetch<0>>>>().gathers == 0);
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
    // And of each world a number by which its device tells how far messages have come.
    CHECK(after.pinned_allocations - before.pinned_allocations == 2 + 2);
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
