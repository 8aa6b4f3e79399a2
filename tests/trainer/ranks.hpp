// SPDX-License-Identifier: Apache-2.0
// Trainers of several ranks on a device, whose messages are staged in the program's memory: each rank a thread with a context of
// its own.
#pragma once

#include "place.hpp"

#include <catch2/catch.hpp>
#include <distributed/trained.hpp>

using namespace snug_test;
namespace sharding = snug::sharding;

namespace {

// Four micro-batches of a step over all ranks: an emulated device takes its time.
template <class Model, class Sharding, class... Policies>
using several = job<Model, Sharding, 4 / Sharding::ranks, place, Policies...>;
template <class Model, class... Policies>
using one = several<Model, each<1>, Policies...>;

}  // namespace

TEST_CASE("ranks on devices give the bits of one") {
    auto const expected = train<one<tiny_gpt2>>();
    CHECK(expected.losses[2] != expected.losses[0]);
    CHECK((train<several<tiny_gpt2, zero<2, 2>>>() == expected));
    CHECK((train<several<tiny_gpt2, zero<3, 4>, snug::checkpointing::every_block>>() == expected));
}

TEST_CASE("gradients that are added at the end, and replicas") {
    auto const expected = train<several<tiny_gpt2, sharding::data_parallel<snug::ranks<2>>>>();
    CHECK((train<several<tiny_gpt2, zero<1, 2>>>() == expected));
    using replicas = sharding::mesh<sharding::data_parallel<snug::ranks<2>>, zero<1, 1>>;
    CHECK((train<several<tiny_gpt2, replicas>>() == expected));
}

TEST_CASE("an adapter that reads its quantized base, of which each device has a share") {
    using stored = snug::quantization::nf4<64>;
    using adapter = snug::adapters::dora<snug::rank<4>>;
    auto const expected = train<one<tiny_llama, stored, adapter>>();
    CHECK((train<several<tiny_llama, zero<3, 2, sharding::prefetch<0>>, stored, adapter>>() == expected));
}

TEST_CASE("weights and gradients of all ranks are copied to each, and a bill says what is staged") {
    using sharded = several<tiny_llama, zero<3, 2>>;
    using alone = one<tiny_llama>;
    static_assert(snug::footprint<sharded>.paged > snug::bytes{});
    std::vector<float> expected;
    snug::distributed::threads::run(1, [&](snug::distributed::threads& world) {
        alone trainer(world, 3);
        expected = trainer.copy_of_weights("embedding.table");
    });
    std::array<std::vector<float>, 2> found;
    snug::distributed::threads::run(2, [&](snug::distributed::threads& world) {
        sharded trainer(world, 3);
        auto const rank = static_cast<std::size_t>(world.rank());
        trainer.set_weights("norm.weight", std::vector<float>(64, 2.0f));
        found[rank] = trainer.copy_of_weights("norm.weight");
        if (found[rank] != std::vector<float>(64, 2.0f)) throw std::runtime_error("weights were not set");
        found[rank] = trainer.copy_of_weights("embedding.table");
    });
    CHECK(found[0] == expected);
    CHECK(found[1] == expected);
}
