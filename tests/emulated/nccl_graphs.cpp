// SPDX-License-Identifier: Apache-2.0
// What a trainer over NCCL does again and again is a graph of each device, messages and all. The bits are those of
// messages that are staged in the program's memory, which are never captured.
#define SNUG_TEST_ON_CUDA
#include "../trainer/moved.hpp"

#include <distributed/exchange.hpp>

namespace {

[[maybe_unused]] int const devices = emulation::device().count = 4;
constexpr int steps = 5;

using one = staged<tiny_gpt2, each<1>>;
// Two micro-batches a step: blocks come ahead, are gathered again on the way back, and their gradients leave meanwhile.
using stage_3 = moved<tiny_gpt2, zero<3, 2, sharding::prefetch<1>>, snug::checkpointing::every_block>;
using stage_0 = moved<tiny_gpt2, each<2>>;

/// The device as it is, then late with copies first, then with messages last.
template <class F>
void in_every_order(F const& f) {
    auto& device = emulation::device();
    for (int order = 0; order < 3; ++order) {
        INFO("order " << order);
        device.deferred = order > 0;
        device.copies_early = order == 1;
        device.messages_late = order == 2;
        f();
    }
    device.deferred = device.copies_early = device.messages_late = false;
}

/// Trained in every order, with the same bits as one rank: `graphs` of each rank are captured, once.
template <class Trainer>
void check_graphs(trained const& expected, std::size_t graphs) {
    constexpr auto ranks = static_cast<std::size_t>(Trainer::composition::ranks);
    in_every_order([&] {
        auto const before = emulation::device().captures;
        CHECK((train<Trainer>(false, {}, steps) == expected));
        CHECK(emulation::device().captures - before == ranks * graphs);
    });
}

trained const& expected() {
    static auto const only = train<one>(false, {}, steps);
    return only;
}

}  // namespace

TEST_CASE("what is not sent by devices is not captured") {
    auto const before = emulation::device().captures;
    CHECK(expected().losses[4] != expected().losses[3]);
    CHECK(emulation::device().captures == before);
}

TEST_CASE("passes whose weights come and whose gradients leave are a graph, with the bits of one rank") {
    check_graphs<stage_3>(expected(), 1);
    check_graphs<moved<tiny_gpt2, zero<3, 1>>>(expected(), 1);
}

TEST_CASE("so are passes and what follows them where all ranks hold all weights") {
    check_graphs<stage_0>(expected(), 2);                       // passes, and gathering of sums
    check_graphs<moved<tiny_gpt2, zero<2, 4>>>(expected(), 2);  // passes, and gathering of weights
}

TEST_CASE("so are passes and additions at the end of a step") {
    // With one micro-batch of each rank they are the additions of every micro-batch.
    check_graphs<moved<tiny_gpt2, zero<1, 4>>>(expected(), 3);
    check_graphs<moved<tiny_gpt2, sharding::data_parallel<snug::ranks<4>>>>(expected(), 2);
}

TEST_CASE("a step that is repeated allocates nothing, and asks NCCL for what is not in a graph only") {
    constexpr int ranks = 2;
    std::array<emulation::nccl_counts, 2> calls;
    std::array<emulation::counts, 2> memory;
    threads::run(ranks, [&](threads& of) {
        nccl_world world(of);
        stage_3 trainer(world, 3);
        trained ignored;
        for (int step = 0; step < 4; ++step) {
            add_step(ignored, trainer, step, world.rank(), false);
            (void)trainer.copy_of_weights("norm.weight");  // all ranks are here
            if (world.is_root() && step >= 2) {
                calls[static_cast<std::size_t>(step - 2)] = emulation::counted_of_nccl();
                memory[static_cast<std::size_t>(step - 2)] = emulation::counted();
            }
            (void)trainer.copy_of_weights("norm.weight");
        }
    });
    CHECK(memory[1].device_allocations == memory[0].device_allocations);
    CHECK(memory[1].pinned_allocations == memory[0].pinned_allocations);
    CHECK(calls[1].gathers - calls[0].gathers <= ranks * 3);  // verdicts, and the copies of weights
    CHECK(calls[1].sends - calls[0].sends <= ranks * 2);
}

TEST_CASE("a graph is everybody's or nobody's") {
    std::array<trained, 2> found;
    std::size_t const before = emulation::device().captures;
    threads::run(2, [&](threads& of) {
        nccl_world world(of);
        stage_0 trainer(world, 3);
        trainer.options.learning_rate = snug::schedule::constant(1e-2);
        for (int step = 0; step < steps; ++step) {
            part_of_batch batch(step, world.rank(), 2, 2, 97);
            // One example in each row, as one rank alone says.
            if (world.is_root()) batch.starts.assign(batch.inputs.size(), 0);
            found[static_cast<std::size_t>(world.rank())].losses.push_back(trainer.step(batch).loss);
        }
    });
    CHECK(found[0].losses == expected().losses);
    CHECK(found[1].losses == expected().losses);
    CHECK(emulation::device().captures - before == 2);  // the gathering of sums
}

TEST_CASE(
    "a rank that falls silent, or NCCL's error, in a graph ends the run with a line that names the place") {
    using kind = emulation::nccl_fault::kind;
    std::string all;
    for (auto const what : {kind::fails_later, kind::is_lost})
        // Of the third step and the fourth, among all that a rank asks NCCL for.
        for (int call = 60; call < 100; call += what == kind::is_lost ? 9 : 3) {
            emulation::fault_of_nccl() = {what, 1, call};
            std::string words;
            auto const line = said([&] {
                words = failed([] {
                    threads::run(2, [](threads& of) {
                        nccl_world world(of);
                        stage_3 trainer(world, 3);
                        world.deadline = snug::distributed::seconds(1);
                        trained ignored;
                        for (int step = 0; step < 9; ++step)
                            add_step(ignored, trainer, step, world.rank(), false);
                    });
                });
            });
            emulation::fault_of_nccl() = {};
            INFO("call " << call << ": " << line);
            CHECK(words != "");
            CHECK_THAT(line, Catch::Matches(
                                 "(.|\n)*snug: rank [01], step [2-4], (exchange of|gather of) [a-z. 0-9]*: "
                                 "(nothing from rank [01]|unhandled system error)(.|\n)*"));
            all += line;
        }
    CHECK_THAT(all, Catch::Contains("exchange of blocks.") && Catch::Contains("gather of weights of"));
    CHECK_THAT(all, Catch::Contains("nothing from rank 1 for 1."));
}
