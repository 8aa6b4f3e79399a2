// SPDX-License-Identifier: Apache-2.0
// Hybrid sharding: replicas of a model that several ranks share.
#include <catch2/catch.hpp>
#include <distributed/trained.hpp>

using namespace snug_test;
namespace sharding = snug::sharding;

namespace {

template <int Replicas, class Zero>
using mesh = sharding::mesh<sharding::data_parallel<snug::ranks<Replicas>>, Zero>;
using small_bucket = sharding::bucket<snug::bytes{4096}>;

}  // namespace

TEST_CASE("a mesh of one replica is its zero, and replicas of one rank are data parallel, to the bit") {
    CHECK((train<shared<tiny_gpt2, mesh<1, zero<3, 2>>>>() == train<shared<tiny_gpt2, zero<3, 2>>>()));
    CHECK((train<shared<tiny_gpt2, mesh<3, zero<1, 1, small_bucket>>>>() ==
           train<shared<tiny_gpt2, sharding::data_parallel<snug::ranks<3>>>>()));
}

TEST_CASE("all stages of a mesh give the same bits with one micro-batch") {
    auto const expected = train<job<tiny_llama, mesh<2, zero<1, 2>>, 1>>(true);
    CHECK((train<job<tiny_llama, mesh<2, zero<2, 2, small_bucket>>, 1>>(true) == expected));
    CHECK((train<job<tiny_llama, sharding::mesh<zero<3, 2>, sharding::data_parallel<snug::ranks<2>>>, 1,
                     snug::checkpointing::every_block>>(true) == expected));
}

TEST_CASE(
    "a mesh trains like one process that has all micro-batches, up to rounding, and its snapshot goes on "
    "anywhere") {
    using precision = snug::precision::full<snug::fp64>;
    using optimizer = snug::optimizers::sgd<double>;
    snug::trainer<tiny_gpt2, snug::batch<1, tokens>, precision, snug::accumulation::micro_batches<6>,
                  optimizer>
        one(3);
    using hybrid = job<tiny_gpt2, mesh<3, zero<3, 2>>, 1, precision, optimizer>;
    using flat = job<tiny_gpt2, zero<2, 2>, 3, precision, optimizer>;
    std::vector<double> expected, found;
    std::array<std::vector<double>, 6> weights;
    for (int step = 0; step < 6; ++step) expected.push_back(one.step(part_of_batch(step, 0, 1, 6, 97)).loss);
    temporary_file file, copy;
    snug::distributed::threads::run(6, [&](snug::distributed::threads& world) {
        hybrid trainer(world, 3);
        for (int step = 0; step < 4; ++step) {
            auto const loss = trainer.step(part_of_batch(step, world.rank(), 6, 1, 97)).loss;
            if (world.is_root()) found.push_back(loss);
        }
        trainer.save(file.path);
        weights[static_cast<std::size_t>(world.rank())] = trainer.copy_of_weights("embedding.table");
    });
    // Of every replica.
    for (auto const& its : weights) CHECK(its == weights[0]);
    snug::distributed::threads::run(2, [&](snug::distributed::threads& world) {
        flat trainer(world, 3);
        trainer.resume(file.path);
        trainer.save(copy.path);
        for (int step = 4; step < 6; ++step) {
            auto const loss = trainer.step(part_of_batch(step, world.rank(), 2, 3, 97)).loss;
            if (world.is_root()) found.push_back(loss);
        }
    });
    CHECK(copy.bytes() == file.bytes());
    for (std::size_t step = 0; step < 6; ++step)
        CHECK(found[step] == Approx(expected[step]).margin(0).epsilon(1e-12));
    // And back.
    snug::distributed::threads::run(6, [&](snug::distributed::threads& world) {
        hybrid trainer(world, 3);
        trainer.resume(copy.path);
        trainer.save(copy.path);
    });
    CHECK(copy.bytes() == file.bytes());
}

TEST_CASE("a quantized base is shared within a replica") {
    using stored = snug::quantization::nf4<64>;
    using low_rank = snug::adapters::lora<snug::rank<4>>;
    using sharded = job<tiny_llama, zero<3, 2>, 2, stored, low_rank>;
    using hybrid = job<tiny_llama, mesh<2, zero<3, 2>>, 1, stored, low_rank>;
    auto const flat = train<sharded>(), replicated = train<hybrid>();
    CHECK(replicated.losses[0] == flat.losses[0]);  // nothing has been added in another order yet
    CHECK(replicated.losses[2] == Approx(flat.losses[2]).epsilon(1e-5));
}
