// SPDX-License-Identifier: Apache-2.0
// What every transport promises, by worlds of threads: tests/distributed/exchange.hpp has the bodies.
#include <catch2/catch.hpp>
#include <distributed/exchange.hpp>
#include <snug/distributed/agree.hpp>
#include <snug/distributed/collectives.hpp>
#include <snug/distributed/self.hpp>
#include <snug/distributed/threads.hpp>

namespace dist = snug::distributed;
using snug_test::failed;

TEST_CASE("messages of every length arrive as they were sent, in the order in which they were sent") {
    int const ranks = GENERATE(1, 2, 3, 4, 8);
    CAPTURE(ranks);
    dist::threads::run(ranks, [&](dist::threads& world) { snug_test::all_promises(world); });
}

TEST_CASE("a world of one rank has nobody to send to, and its collectives do nothing") {
    dist::self world;
    snug_test::all_promises(world);
    CHECK(world.is_root());
    dist::self::transfer transfer(world, 1);
    std::byte one[1]{};
    CHECK_THROWS_WITH(world.send(transfer, 1, one), Catch::Contains("a message to or from rank 1"));
}

TEST_CASE("a message that is longer than what was asked for, or shorter, is refused by both sides") {
    int const sent = GENERATE(1, 15, 17, 100);
    std::string words[2];
    CHECK_THROWS_WITH(
        dist::threads::run(2,
                           [&](dist::threads& world) {
                               std::byte bytes[100]{};
                               dist::threads::transfer transfer(world, 1);
                               auto const rank = world.rank();
                               words[rank] = failed([&] {
                                   if (rank == 0)
                                       world.send(transfer, 1,
                                                  std::span(bytes).first(static_cast<std::size_t>(sent)));
                                   else world.receive(transfer, 0, std::span(bytes).first(16));
                                   world.wait(transfer);
                               });
                               throw std::runtime_error(words[rank]);
                           }),
        Catch::Contains("rank 1: found " + std::to_string(sent) + " bytes from rank 0, expected 16"));
    CHECK(words[0] == words[1]);
}

TEST_CASE("a rank that leaves by an exception ends the waiting of all others, by its name") {
    int const ranks = 4;
    std::string words[ranks];
    CHECK_THROWS_WITH(dist::threads::run(ranks,
                                         [&](dist::threads& world) {
                                             std::byte bytes[8 * ranks]{};
                                             dist::threads::transfer transfer(world, 2 * ranks);
                                             if (world.rank() == 2) throw std::runtime_error("no more disk");
                                             words[world.rank()] = failed([&] {
                                                 dist::all_gather(world, transfer, bytes);
                                                 world.wait(transfer);
                                             });
                                         }),
                      "no more disk");
    CHECK(words[0] == "rank 2: no more disk");
    CHECK(words[1] == words[0]);
    CHECK(words[3] == words[0]);
}
