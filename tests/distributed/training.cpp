// SPDX-License-Identifier: Apache-2.0
// Data parallel and ZeRO: the same bits whatever the number of ranks, and what ranks hold.
#include <catch2/catch.hpp>
#include <cmath>
#include <distributed/trained.hpp>

using namespace snug_test;
namespace sharding = snug::sharding;

TEST_CASE("gradients that are added after each micro-batch give the same bits on any number of ranks") {
    auto const expected = train<alone<tiny_gpt2>>();
    CHECK(expected.losses[2] != expected.losses[0]);
    CHECK((train<shared<tiny_gpt2, each<2>>>() == expected));
    CHECK((train<shared<tiny_gpt2, zero<2, 3>>>() == expected));
    CHECK((train<shared<tiny_gpt2, zero<3, 4>>>() == expected));
    CHECK((train<shared<tiny_gpt2, zero<3, 8, sharding::prefetch<0>>, snug::checkpointing::every_block>>() ==
           expected));
}

TEST_CASE("gradients that are added at the end of a step give the same bits in data_parallel and zero<1>") {
    auto const expected = train<shared<tiny_gpt2, sharding::data_parallel<snug::ranks<4>>>>();
    // A piece of the smallest size: every share goes in several.
    CHECK((train<shared<tiny_gpt2, zero<1, 4, sharding::bucket<snug::bytes{4096}>>>>() == expected));
}

TEST_CASE("with one micro-batch it is the same when gradients are added") {
    using at_the_end = job<tiny_llama, sharding::data_parallel<snug::ranks<2>>, 1>;
    auto const expected = train<at_the_end>(true);
    CHECK((train<job<tiny_llama, zero<3, 2>, 1>>(true) == expected));
}

TEMPLATE_TEST_CASE("ranks train like one process that has all micro-batches, up to rounding", "", snug::fp32,
                   snug::fp64) {
    using precision = snug::precision::full<TestType>;
    using plain =
        snug::trainer<tiny_gpt2, snug::batch<1, tokens>, precision, snug::accumulation::micro_batches<4>>;
    using ranks_of_two = job<tiny_gpt2, zero<2, 2>, 2, precision>;
    double const apart = std::is_same_v<TestType, snug::fp32> ? 1e-6 : 1e-12;
    plain one(3);
    std::vector<double> expected;
    for (int step = 0; step < 20; ++step) expected.push_back(one.step(part_of_batch(step, 0, 1, 4, 97)).loss);
    std::vector<double> found;
    snug::distributed::threads::run(2, [&](snug::distributed::threads& world) {
        ranks_of_two trainer(world, 3);
        for (int step = 0; step < 20; ++step) {
            auto const loss = trainer.step(part_of_batch(step, world.rank(), 2, 2, 97)).loss;
            if (world.is_root()) found.push_back(loss);
        }
    });
    for (std::size_t step = 0; step < 20; ++step)
        CHECK(found[step] == Approx(expected[step]).margin(0).epsilon(apart));
}

TEST_CASE("an evaluation over ranges of different lengths is that of all windows, to the bit") {
    auto const evaluated = [](auto tag, int ranks_of_job) {
        using ranks = typename decltype(tag)::type;
        constexpr int windows = 7;
        snug::evaluation result;
        snug::distributed::threads::run(ranks_of_job, [&](snug::distributed::threads& world) {
            ranks trainer(world, 3);
            constexpr auto own = static_cast<int>(ranks::composition::micro_batches);
            std::vector<part_of_batch> batches;
            for (int step = 0; step < windows; ++step) {
                part_of_batch batch(step, world.rank(), ranks_of_job, own, 97);
                // Of the last one only some ranks have something.
                if (step == windows - 1 && world.rank() >= ranks_of_job / 2 && ranks_of_job > 1) continue;
                if (step == windows - 1 && ranks_of_job == 1)
                    for (std::size_t i = 0; i < batch.targets.size(); ++i)
                        if (static_cast<int>(i) / tokens % 4 >= 2) batch.targets[i] = -1;
                batches.push_back(batch);
            }
            auto const found = trainer.evaluate(batches);
            if (world.is_root()) result = found;
        });
        return result;
    };
    auto const expected = evaluated(std::type_identity<job<tiny_gpt2, each<1>, 4>>{}, 1);
    auto const found = evaluated(std::type_identity<job<tiny_gpt2, zero<3, 4>, 1>>{}, 4);
    CHECK(found.tokens == expected.tokens);
    CHECK(found.loss == expected.loss);
}
