// SPDX-License-Identifier: Apache-2.0
// The same bits on any number of ranks, in every precision and with every kind of states.
#include <catch2/catch.hpp>
#include <distributed/trained.hpp>

using namespace snug_test;
namespace precision = snug::precision;
namespace optimizers = snug::optimizers;
namespace checkpointing = snug::checkpointing;
using snug::bf16;
using snug::fp16;

TEST_CASE("bf16 with states in blocks of 8 bits, which no share cuts") {
    using states = optimizers::adamw<optimizers::states<snug::int8>>;
    auto const expected = train<alone<tiny_llama, precision::mixed<bf16>, states>>();
    CHECK((train<shared<tiny_llama, zero<3, 3>, precision::mixed<bf16>, states, checkpointing::every<2>>>() ==
           expected));
}

TEST_CASE("fp16 under a loss scale, with paged states: all ranks skip a step together") {
    using paged = optimizers::paged<optimizers::adamw<>>;
    auto const expected = train<alone<tiny_gpt2, precision::mixed<fp16>, paged>>();
    CHECK((train<shared<tiny_gpt2, zero<2, 2>, precision::mixed<fp16>, paged, checkpointing::selective>>() ==
           expected));
}

TEST_CASE("bf16 alone, with stochastic rounding") {
    auto const expected = train<alone<tiny_gpt2, precision::pure<bf16>, optimizers::sgd<>>>();
    CHECK((train<shared<tiny_gpt2, zero<3, 2>, precision::pure<bf16>, optimizers::sgd<>>>() == expected));
}
