// SPDX-License-Identifier: Apache-2.0
// What becomes of the others when something goes wrong on one rank: in worlds of threads, where it can be made to.
#include <algorithm>
#include <array>
#include <atomic>
#include <catch2/catch.hpp>
#include <distributed/exchange.hpp>
#include <random>
#include <snug/distributed/agree.hpp>
#include <snug/distributed/collectives.hpp>
#include <snug/distributed/threads.hpp>

namespace dist = snug::distributed;
using kind = dist::fault::kind;
using clock_type = std::chrono::steady_clock;
using snug_test::failed;
using snug_test::said;

namespace {

constexpr int steps = 6;
constexpr std::size_t part = 64;

/// Some steps of exchanges as a trainer has them, checked by a sum over what arrived as a checksum would; and agreements.
void job(dist::threads& world) {
    auto const n = static_cast<std::size_t>(world.size());
    std::vector<std::byte> all(n * part), room(n * sizeof(dist::statement));
    dist::threads::transfer transfer(world, 2 * world.size());
    for (int step = 0; step < steps; ++step) {
        world.doing = {step, "agreement"};
        dist::guarded(world, transfer, room, {.step = step, .counted = 1}, [] {});
        world.doing = {step, "exchange", "blocks", 7};
        for (std::size_t i = 0; i < part; ++i)
            all[static_cast<std::size_t>(world.rank()) * part + i] =
                snug_test::content(world.rank(), 0, step, i);
        dist::all_gather(world, transfer, all);
        world.wait(transfer);
        dist::guarded(world, transfer, room, {.step = step}, [&] {
            for (int r = 0; r < world.size(); ++r)
                for (std::size_t i = 0; i < part; ++i)
                    if (all[static_cast<std::size_t>(r) * part + i] != snug_test::content(r, 0, step, i))
                        throw snug::error({}, "damage", "");
        });
    }
}

/// Calls of a rank in one collective, and in all of them.
constexpr std::int64_t calls_of_one(int ranks) { return 2 * (ranks - 1); }
constexpr std::int64_t calls_of_all(int ranks) { return calls_of_one(ranks) * 3 * steps; }

/// In the last collective a rank may have got all that it waits for, and have left, when another fails.
bool may_have_left(int ranks, dist::fault const& wrong, int rank) {
    return rank != wrong.rank && wrong.call >= calls_of_all(ranks) - calls_of_one(ranks);
}

/// `job` with a fault; the words of every rank.
std::vector<std::string> words_of(int ranks, dist::fault wrong, double deadline = 20) {
    std::vector<std::string> words(static_cast<std::size_t>(ranks));
    auto const all = failed([&] {
        dist::threads::run(
            ranks,
            [&](dist::threads& world) {
                world.deadline = dist::seconds(deadline);
                auto& mine = words[static_cast<std::size_t>(world.rank())];
                try {
                    job(world);
                } catch (std::exception const& e) {
                    mine = e.what();
                    throw;
                }
            },
            wrong);
    });
    CHECK(all.empty() == std::all_of(words.begin(), words.end(), [](auto& mine) { return mine.empty(); }));
    return words;
}

}  // namespace

TEST_CASE("whatever call of whichever rank fails, all ranks throw the same error, which names the rank") {
    int const ranks = GENERATE(2, 3, 4);
    // Every call until there is none.
    for (std::int64_t call = 0;; ++call) {
        CAPTURE(ranks, call);
        auto const rank = static_cast<int>(call % ranks);
        dist::fault const wrong{.what = kind::fails, .rank = rank, .call = call};
        auto const words = words_of(ranks, wrong);
        if (call == calls_of_all(ranks)) {
            for (auto const& mine : words) REQUIRE(mine.empty());
            break;
        }
        for (int r = 0; r < ranks; ++r) {
            auto const& mine = words[static_cast<std::size_t>(r)];
            if (!mine.empty() || !may_have_left(ranks, wrong, r))
                REQUIRE(mine == "rank " + std::to_string(rank) + ": found a fault that a test asked for");
        }
    }
}

TEST_CASE("faults at random: all ranks end alike, or none notices") {
    std::mt19937 random(3);
    for (int seed = 0; seed < 500; ++seed) {
        int const ranks = 2 + static_cast<int>(random() % 4);
        auto const rank = static_cast<int>(random() % static_cast<unsigned>(ranks));
        auto const call = static_cast<std::int64_t>(random() % static_cast<unsigned>(calls_of_all(ranks)));
        auto const what = std::array{kind::fails, kind::delays, kind::damages}[random() % 3];
        CAPTURE(seed, ranks, rank, call, static_cast<int>(what));
        dist::fault const wrong{what, rank, call, std::chrono::milliseconds(random() % 5)};
        auto const words = words_of(ranks, wrong);
        // A flipped byte in the middle of what is exchanged is damage, in the middle of a statement a letter of a message that
        // nobody reads.
        bool const in_exchange = call / calls_of_one(ranks) % 3 == 1;
        for (int r = 0; r < ranks; ++r) {
            auto const& mine = words[static_cast<std::size_t>(r)];
            if (what == kind::fails && mine.empty()) REQUIRE(may_have_left(ranks, wrong, r));
            else if (what == kind::fails) REQUIRE(mine == words[static_cast<std::size_t>(rank)]);
            else REQUIRE(mine == words[0]);
            if (what == kind::delays) REQUIRE(mine.empty());
            if (what == kind::damages) REQUIRE(mine.ends_with("found damage") == in_exchange);
        }
    }
}

TEST_CASE("a rank that answers no more ends all after the deadline, in a line of who, when and what") {
    constexpr int ranks = 3;
    auto const call = calls_of_one(ranks) * (3 * 4 + 1);  // the exchange of step 4
    for (double const deadline : {0.05, 0.3}) {
        std::vector<std::string> words;
        auto const begun = clock_type::now();
        auto const line = said([&] {
            words = words_of(ranks, {.what = kind::answers_no_more, .rank = 1, .call = call}, deadline);
        });
        auto const took = dist::seconds(clock_type::now() - begun).count();
        CAPTURE(line);
        CHECK(took >= deadline);
        CHECK(took < deadline + 1);
        CHECK_THAT(line, Catch::Matches("snug: rank [02], step 4, exchange of blocks.7: nothing (from|taken "
                                        "by) rank 1 for 0.[0-9] s\n"));
        CHECK_THAT(words[1],
                   Catch::Matches("rank [02]: found nothing from rank 1 in 0[.0-9]* s, expected an answer"));
        CHECK(words[0] == words[1]);
        CHECK(words[2] == words[1]);
    }
}

TEST_CASE("only waiting counts, and what arrives begins it anew") {
    dist::threads::run(2, [](dist::threads& world) {
        world.deadline = dist::seconds(0.4);
        dist::threads::transfer transfer(world, 4);
        std::byte bytes[4]{};
        auto const pause = [](double s) { std::this_thread::sleep_for(dist::seconds(s)); };
        // A rank that computes for longer than the deadline while its messages wait.
        if (world.rank() == 1) world.receive(transfer, 0, bytes), pause(0.7);
        else pause(0.35), world.send(transfer, 1, bytes);
        world.wait(transfer);
        for (auto& byte : bytes) {
            if (world.rank() == 0) pause(0.2), world.send(transfer, 1, {&byte, 1});
            else world.receive(transfer, 0, {&byte, 1});
        }
        world.wait(transfer);  // 0.8 s, with something every 0.2 s
    });
}

TEST_CASE("what a rank was asked to move is not touched any more when its transfer is gone") {
    // Rank 1 copies to or from the memory of rank 0, which gets to know meanwhile that rank 2 has left.
    for (bool const rank_0_sends : {false, true}) {
        std::atomic<int> turn = 0;
        auto const job = [&](dist::threads& world) {
            auto const wait_for = [&](int when) {
                while (turn < when) std::this_thread::yield();
            };
            if (world.rank() == 2) {
                wait_for(2);
                throw std::runtime_error("away");
            }
            std::vector<std::byte> all(64 << 20);
            dist::threads::transfer transfer(world, 1);
            if (world.rank() == 1) wait_for(1), turn = 2;
            if ((world.rank() == 0) == rank_0_sends) world.send(transfer, 1 - world.rank(), all);
            else world.receive(transfer, 1 - world.rank(), all);
            if (world.rank() == 0) turn = 1;
            world.wait(transfer);
        };
        CHECK_THROWS_WITH(dist::threads::run(3, job), "away");
    }
}

TEST_CASE("a message that is taken back was never sent") {
    dist::threads::run(2, [](dist::threads& world) {
        std::byte one[1]{std::byte(1)}, two[1]{std::byte(2)};
        if (world.rank() == 0) {
            {
                dist::threads::transfer gone(world, 1);
                world.send(gone, 1, one);
            }
            dist::threads::transfer transfer(world, 2);
            dist::threads::transfer other(world, 1);
            world.send(transfer, 1, two);
            other = std::move(transfer);
            world.wait(other);
        } else {
            std::this_thread::sleep_for(std::chrono::milliseconds(50));
            dist::threads::transfer transfer(world, 1);
            world.receive(transfer, 0, one);
            world.wait(transfer);
            snug_test::require(one[0] == std::byte(2), "the second arrives");
        }
    });
}

TEST_CASE("no ranks are refused, and an exception of any type comes back") {
    CHECK_THROWS_WITH(dist::threads::run(0, [](dist::threads&) {}), "found 0 ranks, expected at least one");
    CHECK_THROWS_AS(dist::threads::run(2,
                                       [](dist::threads& world) {
                                           if (world.rank() == 1) throw 7;
                                       }),
                    int);
}
