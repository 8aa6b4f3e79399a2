// SPDX-License-Identifier: Apache-2.0
// What a sharding takes beside its ranks: the format in which gradients travel, and units that are kept whole.
#include <catch2/catch.hpp>
#include <cmath>
#include <distributed/trained.hpp>

using namespace snug_test;
namespace sharding = snug::sharding;

namespace {

using in_bf16 = sharding::wire<snug::bf16>;
template <int Ranks>
using each_in_bf16 =
    sharding::data_parallel<snug::ranks<Ranks>, sharding::reduced<sharding::each_micro_batch>, in_bf16>;
template <snug::bytes Size>
using keep_below = sharding::keep_below<Size>;

}  // namespace

TEST_CASE("gradients that travel in bf16 are rounded once, whatever the number of ranks") {
    auto const expected = train<shared<tiny_gpt2, each_in_bf16<1>>>();
    CHECK((train<shared<tiny_gpt2, each_in_bf16<3>>>() == expected));
    CHECK((train<shared<tiny_gpt2, zero<3, 4, in_bf16, sharding::bucket<snug::bytes{2048}>>>>() == expected));
    auto const exact = train<alone<tiny_gpt2>>();
    CHECK(expected.losses[0] == exact.losses[0]);
    CHECK(expected.norms[0] != exact.norms[0]);
    CHECK(std::abs(expected.norms[0] / exact.norms[0] - 1) < 1e-3);
}

TEST_CASE("gradients that are added at the end travel in bf16, too, between replicas as well") {
    using wired = shared<tiny_gpt2, sharding::data_parallel<snug::ranks<2>, in_bf16>>;
    auto const expected = train<wired>();
    CHECK((train<shared<tiny_gpt2, zero<1, 2, in_bf16>>>() == expected));
    using replicas = sharding::mesh<sharding::data_parallel<snug::ranks<2>>, zero<1, 1, in_bf16>>;
    auto const replicated = train<shared<tiny_gpt2, replicas>>();
    CHECK(replicated.losses[0] == expected.losses[0]);
    CHECK(replicated.losses[2] == Approx(expected.losses[2]).epsilon(1e-3));
}

TEST_CASE("units that are kept whole change what travels, and no bit of a training") {
    using snug::operator""_KiB;
    using sharded = shared<tiny_llama, zero<3, 3>, snug::checkpointing::every_block>;
    // Embedding and head, and then the blocks too.
    using some = shared<tiny_llama, zero<3, 3, keep_below<60_KiB>>, snug::checkpointing::every_block>;
    using all = shared<tiny_llama, zero<3, 3, keep_below<400_KiB>>, snug::checkpointing::every_block>;
    static_assert(snug::footprint<some>.weights > snug::footprint<sharded>.weights);
    static_assert(snug::footprint<all>.weights > snug::footprint<some>.weights);
    static_assert(snug::traffic<some>.gathered < snug::traffic<sharded>.gathered);
    static_assert(snug::traffic<all>.gathered < snug::traffic<some>.gathered);
    auto const expected = train<sharded>();
    CHECK((train<some>() == expected));
    CHECK((train<all>() == expected));
}

TEST_CASE("a quantized base can be kept") {
    using snug::operator""_KiB;
    using stored = snug::quantization::nf4<64>;
    using low_rank = snug::adapters::dora<snug::rank<4>>;
    auto const expected = train<shared<tiny_llama, zero<3, 2>, stored, low_rank>>();
    CHECK((train<shared<tiny_llama, zero<3, 2, keep_below<400_KiB>>, stored, low_rank>>() == expected));
}
