// SPDX-License-Identifier: Apache-2.0
// A training may stop on any number of ranks and at any stage, and go on at any other.
#include <catch2/catch.hpp>
#include <distributed/anywhere/anywhere.hpp>
#include <fstream>
#include <map>

using namespace snug_test;

namespace {

std::vector<one_of_sixteen> all_of_them() {
    std::vector<one_of_sixteen> all;
    for (auto const& some : {stage_0(), stage_1(), stage_2(), stage_3()})
        all.insert(all.end(), some.begin(), some.end());
    return all;
}

/// Trainers of one class add the same numbers in the same order. With one micro-batch for each rank all do; at the end of a step,
/// those with as many ranks; after each micro-batch, all.
int class_of(one_of_sixteen const& one) {
    bool const each = one.stage >= 2 || one.ranks == micro_batches_in_all;
    return each ? 0 : one.ranks;
}

/// A file with these bytes.
struct written : temporary_file {
    explicit written(std::string const& bytes) {
        std::ofstream(path, std::ios::binary).write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
    }
};

}  // namespace

TEST_CASE("every trainer writes the same bytes of the same training, and goes on from what any has written") {
    auto const all = all_of_them();
    REQUIRE(all.size() == 16);
    // Each trains on its own; those of a class to the same bits.
    std::map<int, stretch> begun;
    std::vector<stretch> writers;
    for (auto const& one : all) {
        CAPTURE(one.stage, one.ranks);
        writers.push_back(one.train({}, 2));
        CHECK((begun.try_emplace(class_of(one), writers.back()).first->second == writers.back()));
    }
    // What one has written all write again, to the byte.
    {
        written const file(writers[0].snapshot);
        for (auto const& one : all) {
            CAPTURE(one.stage, one.ranks);
            CHECK(one.train(file.path, 0).snapshot == writers[0].snapshot);
        }
    }
    // Sixteen times sixteen: the next step is a matter of who takes it, and not of who has written.
    std::map<std::pair<std::string, int>, stretch> next;
    int count = 0;
    for (std::size_t w = 0; w < all.size(); ++w) {
        written const file(writers[w].snapshot);
        for (auto const& reader : all) {
            CAPTURE(all[w].stage, all[w].ranks, reader.stage, reader.ranks);
            auto const found = reader.train(file.path, 1);
            auto const& expected =
                next.try_emplace({writers[w].snapshot, class_of(reader)}, found).first->second;
            CHECK((found == expected));
            ++count;
        }
    }
    CHECK(count == 256);
    // Two begun steps and a third are what three steps are.
    for (auto const& one : all) {
        CAPTURE(one.stage, one.ranks);
        auto const whole = one.train({}, 3);
        auto const& third = next.at({begun.at(class_of(one)).snapshot, class_of(one)});
        CHECK(whole.snapshot == third.snapshot);
        CHECK(whole.losses.back() == third.losses.back());
        CHECK(whole.norms.back() == third.norms.back());
    }
}
