// SPDX-License-Identifier: Apache-2.0
// Who gets which sequence of a data set, and programs for several numbers of ranks.
#include <catch2/catch.hpp>
#include <distributed/trained.hpp>
#include <snug/data/mixture.hpp>
#include <snug/distributed/for_ranks.hpp>

using namespace snug_test;

namespace {

struct rank_of {
    int number;
    int rank() const { return number; }
};

template <int Ranks>
using four_sequences =
    snug::trainer<snug::models::gpt2<snug::layers<1>, snug::heads<1>, snug::width<8>, snug::vocabulary<256>,
                                     snug::context<8>>,
                  snug::batch<2, 8>, snug::accumulation::micro_batches<12 / Ranks>, each<Ranks>>;

/// All tokens that the ranks see in three steps from a position on, in the order of the global batch.
template <int Ranks, template <class> class Batches = snug::io::token_batches, class Data>
std::vector<std::int32_t> seen(Data const& data, std::int64_t from) {
    std::vector<Batches<four_sequences<Ranks>>> all;
    for (int rank = 0; rank < Ranks; ++rank) {
        if constexpr (std::is_same_v<Data, snug::io::token_file>) all.emplace_back(data, rank_of{rank}, 5);
        else
            all.emplace_back(
                std::vector<typename Batches<four_sequences<Ranks>>::share>{{{data.first}, 3},
                                                                            {{data.second, data.first}, 2}},
                rank_of{rank}, 5);
        all.back().resume_at(from);
    }
    std::vector<std::int32_t> result;
    constexpr std::size_t tokens_of_micro_batch = 2 * 8;
    for (int step = 0; step < 3; ++step) {
        std::vector<std::span<std::int32_t const>> parts;
        for (auto& batches : all) parts.push_back(batches.next().inputs);
        for (std::size_t m = 0; m < 12 / Ranks; ++m)
            for (auto const& part : parts) {
                auto const here = part.subspan(m * tokens_of_micro_batch, tokens_of_micro_batch);
                result.insert(result.end(), here.begin(), here.end());
            }
    }
    for (auto const& batches : all) CHECK(batches.position() == from + 3 * 24);
    return result;
}

}  // namespace

TEST_CASE("a step sees the same sequences in the same order on any number of ranks, from any position on") {
    temporary_file const file;
    {
        std::ofstream out(file.path, std::ios::binary);
        for (int i = 0; i < 3000; ++i) out.put(static_cast<char>(i * 37 % 251));
    }
    auto const data = snug::io::token_file::open(file.path, 256);
    for (std::int64_t const from : {0, 24, 1000}) {
        auto const expected = seen<1>(data, from);
        CHECK(seen<2>(data, from) == expected);
        CHECK(seen<3>(data, from) == expected);
        CHECK(seen<4>(data, from) == expected);
        std::pair const two{data, data.part(1000, 2000)};
        auto const mixed = seen<1, snug::io::mixed_batches>(two, from);
        CHECK(mixed != expected);
        CHECK(seen<2, snug::io::mixed_batches>(two, from) == mixed);
        CHECK(seen<4, snug::io::mixed_batches>(two, from) == mixed);
    }
}

TEST_CASE("a program for several numbers of ranks runs the one for as many as there are") {
    int found = 0;
    std::mutex guard;
    snug::distributed::threads::run(4, [&](snug::distributed::threads& world) {
        snug::for_ranks<1, 2, 4>(world, [&]<int Ranks>() {
            std::lock_guard const lock(guard);
            found += Ranks;
        });
    });
    CHECK(found == 16);
    CHECK_THROWS_WITH(
        snug::distributed::threads::run(
            3, [](snug::distributed::threads& world) { snug::for_ranks<1, 2, 4>(world, []<int>() {}); }),
        Catch::Contains("3 processes") && Catch::Contains("1, 2, 4"));
}
