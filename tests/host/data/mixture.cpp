// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>

#include <cstdint>
#include <cstring>
#include <limits>
#include <map>
#include <numeric>
#include <string>
#include <vector>

#include <snug/data/mixture.hpp>
#include <snug/plan.hpp>

#include "../io/faults.hpp"

using namespace snug::io;
using Catch::Matchers::Contains;

namespace {

constexpr std::int64_t tokens = 8;

/// Tokens from `first` on.
token_file counting(test::scratch const& directory, std::int64_t count, int first) {
    std::vector<std::uint16_t> values(static_cast<std::size_t>(count));
    std::iota(values.begin(), values.end(), static_cast<std::uint16_t>(first));
    std::string bytes(values.size() * 2, '\0');
    std::memcpy(bytes.data(), values.data(), bytes.size());
    auto const path = directory / (std::to_string(first) + ".bin");
    test::write_file(path, bytes);
    return token_file::open(path, 60000);
}

/// An order of one's own: number n begins with 20000 + n.
struct own_order {
    std::int64_t windows() const { return 10; }
    void fill(std::int64_t number, std::int64_t sequences, std::int32_t* inputs,
              std::int32_t* targets) const {
        for (std::int64_t i = 0; i < sequences * tokens; ++i) {
            inputs[i] = static_cast<std::int32_t>(20000 + number + i / tokens);
            targets[i] = inputs[i] + 1;
        }
    }
};

using trainer = snug::trainer<snug::models::gpt2<snug::layers<1>, snug::heads<1>, snug::width<8>,
                                                 snug::vocabulary<60000>, snug::context<8>>,
                              snug::batch<2, tokens>, snug::accumulation::micro_batches<3>>;

std::vector<std::int32_t> copy_of(std::span<std::int32_t const> values) {
    return {values.begin(), values.end()};
}

}  // namespace

TEST_CASE(
    "a mixture has the shares of its parts in every turn, and of each source every sequence once an epoch") {
    test::scratch directory;
    auto const web = counting(directory, 400, 0), code = counting(directory, 90, 10000);
    mixture<> const mixed({{batch_order(web, tokens, 1), 7}, {batch_order(code, tokens, 2), 3}}, tokens, 5);
    auto const epoch_of_code = mixed.order(1).windows();
    REQUIRE(epoch_of_code == 10);
    std::map<std::int64_t, int> begins_of_code;
    std::vector<std::int64_t> seen[2];
    std::vector<std::int32_t> inputs(tokens), targets(tokens), expected(tokens), other(tokens);
    for (std::int64_t turn = 0; turn < 10; ++turn) {
        int of[2] = {0, 0};
        for (std::int64_t i = 0; i < 10; ++i) {
            auto const [source, number] = mixed.find(turn * 10 + i);
            ++of[source];
            seen[source].push_back(number);
            mixed.fill(turn * 10 + i, 1, inputs.data(), targets.data());
            CHECK((inputs[0] >= 10000) == (source == 1));
            mixed.order(source).fill(number, 1, expected.data(), other.data());
            CHECK(inputs == expected);
            CHECK(targets == other);
        }
        CHECK(of[0] == 7);
        CHECK(of[1] == 3);
    }
    for (auto& numbers : seen) {
        std::sort(numbers.begin(), numbers.end());
        for (std::size_t i = 0; i < numbers.size(); ++i) CHECK(numbers[i] == static_cast<std::int64_t>(i));
    }
    CHECK(mixed.epochs(1, 100) == 3.0);
    CHECK(mixed.epochs(0, 100) == 70.0 / static_cast<double>(mixed.order(0).windows()));
}

TEST_CASE("turns are shuffled by the seed, each otherwise") {
    mixture<own_order> const one({{{}, 20}, {{}, 20}}, tokens, 1), same({{{}, 20}, {{}, 20}}, tokens, 1),
        other({{{}, 20}, {{}, 20}}, tokens, 2);
    int equal_to_other = 0, equal_to_next = 0;
    for (std::int64_t i = 0; i < 400; ++i) {
        CHECK(one.find(i) == same.find(i));
        equal_to_other += one.find(i) == other.find(i);
        equal_to_next += one.find(i).first == one.find(i + 40).first;
    }
    CHECK(equal_to_other < 40);
    CHECK(equal_to_next > 100);
    CHECK(equal_to_next < 300);
}

TEST_CASE("a mixture goes on where it was") {
    test::scratch directory;
    std::vector<mixed_batches<trainer>::share> const sources{
        {{counting(directory, 400, 0), counting(directory, 100, 1000)}, 5},
        {{counting(directory, 90, 10000)}, 2}};
    mixed_batches<trainer> all(sources, 3);
    for (int step = 0; step < 4; ++step) all.next();
    CHECK(all.position() == 24);
    CHECK(all.epochs(1) > 0.6);
    mixed_batches<trainer> later(sources, 3);
    later.resume_at(24);
    for (int step = 0; step < 20; ++step) {
        auto const here = all.next(), there = later.next();
        CHECK(copy_of(here.inputs) == copy_of(there.inputs));
        CHECK(copy_of(here.targets) == copy_of(there.targets));
    }
}

TEST_CASE("a source of one's own is drawn by number") {
    numbered_batches<trainer, own_order> batches{own_order{}};
    batches.resume_at(12);
    auto const batch = batches.next();
    REQUIRE(batch.inputs.size() == 6 * tokens);
    for (std::size_t i = 0; i < batch.inputs.size(); ++i)
        CHECK(batch.inputs[i] == 20000 + 12 + static_cast<std::int32_t>(i / tokens));
    CHECK(batches.position() == 18);
    static_assert(!sequence_order<int>);
}

TEST_CASE("what is no mixture is refused in a sentence") {
    using list = std::vector<mixture<own_order>::share>;
    CHECK_THAT(test::refusal([] { mixture<own_order>(list{}, tokens, 0); }),
               Contains("a mixture of nothing"));
    CHECK_THAT(test::refusal([] {
                   mixture<own_order>(list{{{}, 1}, {{}, 0}}, tokens, 0);
               }),
               Contains("0 parts of source 1"));
    CHECK_FALSE(
        test::refusal([] {
            mixture<own_order>(list{{{}, std::numeric_limits<std::int64_t>::max()}, {{}, 1}}, tokens, 0);
        }).empty());
    mixture<own_order> const one(list{{{}, 1}}, tokens, 0);
    std::vector<std::int32_t> inputs(tokens), targets(tokens);
    CHECK_FALSE(test::refusal([&] { one.fill(-1, 1, inputs.data(), targets.data()); }).empty());
    CHECK_THAT(test::refusal([] {
                   mixed_batches<trainer>(std::vector<mixed_batches<trainer>::share>{{{}, 1}}, 0);
               }),
               Contains("no token file"));
}
