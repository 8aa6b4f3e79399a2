// SPDX-License-Identifier: Apache-2.0
// Adapters over several ranks: the frozen base is sharded as the bytes that its scheme stores.
#include <catch2/catch.hpp>
#include <distributed/trained.hpp>

using namespace snug_test;
namespace adapters = snug::adapters;
using low_rank = adapters::lora<snug::rank<4>, snug::alpha<8>, snug::targets<snug::all_linear>,
                                snug::dropout<std::ratio<1, 10>>>;
using decomposed = adapters::dora<snug::rank<4>, snug::alpha<8>, snug::targets<snug::all_linear>>;
using stored = snug::quantization::nf4<64>;

TEST_CASE("LoRA with dropout on a quantized base") {
    auto const expected = train<alone<tiny_llama, stored, low_rank>>();
    CHECK((train<shared<tiny_llama, zero<3, 3>, stored, low_rank>>() == expected));
    CHECK((train<shared<tiny_llama, zero<2, 2>, stored, low_rank>>() == expected));
}

TEST_CASE("DoRA, which reads rows of the base when it begins") {
    auto const expected = train<alone<tiny_gpt2, decomposed, snug::precision::mixed<snug::bf16>>>();
    CHECK(
        (train<shared<tiny_gpt2, zero<3, 4>, decomposed, snug::precision::mixed<snug::bf16>>>() == expected));
}
