// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <unistd.h>

#include <cstddef>
#include <random>
#include <snug/distributed/agree.hpp>
#include <snug/distributed/collectives.hpp>
#include <span>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

/// What every transport promises, for worlds of threads and of processes alike: these are called on all ranks, and throw
/// where a promise is not kept. (Catch2's own checks are for one thread.)
namespace snug_test {

namespace dist = snug::distributed;

inline void require(bool kept, std::string const& promise) {
    if (!kept) throw std::logic_error("not so: " + promise);
}

/// The words in which `f()` is refused; none if it is not.
template <class F>
std::string failed(F&& f) {
    try {
        f();
    } catch (std::exception const& e) {
        return e.what();
    }
    return {};
}

/// What is written to stderr meanwhile.
template <class F>
std::string said(F&& f) {
    int ends[2];
    require(::pipe(ends) == 0, "there is a pipe");
    int const before = ::dup(STDERR_FILENO);
    ::dup2(ends[1], STDERR_FILENO);
    ::close(ends[1]);
    f();
    ::dup2(before, STDERR_FILENO);
    ::close(before);
    std::string all;
    char some[256];
    for (ssize_t n; (n = ::read(ends[0], some, sizeof some)) > 0;)
        all.append(some, static_cast<std::size_t>(n));
    ::close(ends[0]);
    return all;
}

/// Byte `i` of message number `n` between two ranks.
inline std::byte content(int from, int to, int n, std::size_t i) {
    auto const x = static_cast<std::size_t>(from * 977 + to * 131 + n * 7919) + i * 31 + (i >> 8);
    return static_cast<std::byte>(x ^ (x >> 7));
}

inline constexpr std::size_t lengths[] = {0, 1, 3, 255, 256, 4095, 4096, 65536, 300007};

/// Everybody sends everybody messages of all lengths at once, several of a pair under way.
template <dist::transport World>
void exchanges(World& world) {
    int const me = world.rank(), n = world.size();
    auto const count = static_cast<int>(std::size(lengths));
    std::vector<std::vector<std::byte>> out, in;
    for (int other = 0; other < n; ++other)
        for (int k = 0; k < count; ++k) {
            auto const size = lengths[static_cast<std::size_t>(k)];
            auto& bytes = out.emplace_back(size);
            for (std::size_t i = 0; i < size; ++i) bytes[i] = content(me, other, k, i);
            in.emplace_back(size);
        }
    typename World::transfer transfer(world, 2 * count * (n - 1));
    for (int turn = 0; turn < 2; ++turn) {  // a transfer is used again
        for (int d = 1; d < n; ++d)
            for (int k = 0; k < count; ++k) {
                auto const to = (me + d) % n, from = (me + n - d) % n;
                world.send(transfer, to, out[static_cast<std::size_t>(to * count + k)]);
                world.receive(transfer, from, in[static_cast<std::size_t>(from * count + k)]);
            }
        if (turn == 0) world.wait(transfer);
        else
            while (!world.is_done(transfer)) std::this_thread::yield();
        for (int from = 0; from < n; ++from)
            for (int k = 0; k < count && from != me; ++k) {
                auto& bytes = in[static_cast<std::size_t>(from * count + k)];
                for (std::size_t i = 0; i < bytes.size(); ++i)
                    require(bytes[i] == content(from, me, k, i), "what arrives is what was sent");
                std::fill(bytes.begin(), bytes.end(), std::byte{});
            }
    }
}

/// Many short messages of one pair, received by transfers of their own, keep their order.
template <dist::transport World>
void keeps_order(World& world) {
    int const me = world.rank(), n = world.size();
    if (n < 2 || me > 1) return;
    constexpr int count = 200;
    std::vector<std::byte> bytes(2 * count);
    typename World::transfer even(world, count), odd(world, count);
    for (int k = 0; k < count; ++k) {
        auto const one = std::span(bytes).subspan(static_cast<std::size_t>(2 * k), 2);
        auto& transfer = k % 2 ? odd : even;
        if (me == 0) {
            one[0] = one[1] = static_cast<std::byte>(k);
            world.send(transfer, 1, one);
        } else world.receive(transfer, 0, one);
    }
    world.wait(odd);
    world.wait(even);
    for (int k = 0; k < count; ++k)
        require(bytes[static_cast<std::size_t>(2 * k)] == static_cast<std::byte>(k),
                "messages keep their order");
}

template <dist::transport World>
void gathers(World& world) {
    int const me = world.rank(), n = world.size();
    typename World::transfer transfer(world, 2 * n);
    auto const check = [&](dist::group ranks, std::size_t part) {
        int const own = ranks.find(me);
        if (own < 0) return;
        std::vector<std::byte> all(part * static_cast<std::size_t>(ranks.count));
        for (std::size_t i = 0; i < part; ++i)
            all[static_cast<std::size_t>(own) * part + i] = content(me, 0, 5, i);
        dist::all_gather(world, transfer, ranks, all);
        world.wait(transfer);
        for (int r = 0; r < ranks.count; ++r)
            for (std::size_t i = 0; i < part; ++i)
                require(all[static_cast<std::size_t>(r) * part + i] == content(ranks[r], 0, 5, i),
                        "every part is where its rank stands");
    };
    for (std::size_t const part : {0u, 1u, 256u, 100000u}) {
        check(dist::everybody(world), part);
        check({me % 2, (n - me % 2 + 1) / 2, 2}, part);  // the even ones, and the odd ones, at the same time
        check({0, n - n / 2, 1}, part);
    }
    for (int root = 0; root < n; ++root) {
        std::vector<std::byte> bytes(1000);
        if (me == root)
            for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = content(root, 0, 6, i);
        dist::broadcast(world, transfer, root, bytes);
        world.wait(transfer);
        for (std::size_t i = 0; i < bytes.size(); ++i)
            require(bytes[i] == content(root, 0, 6, i), "everybody has the root's bytes");
    }
    std::vector<std::byte> odd(static_cast<std::size_t>(n) * 8 + 1);
    if (n > 1)
        require(
            failed([&] { dist::all_gather(world, transfer, odd); }).find("equal parts") != std::string::npos,
            "parts that are not equal are refused");
}

/// Sums, differences and failures are the same everywhere, and nothing stays behind: it goes on afterwards.
template <dist::transport World>
void agrees(World& world) {
    int const me = world.rank(), n = world.size();
    typename World::transfer transfer(world, dist::messages_to_agree(world));
    std::vector<std::byte> room(static_cast<std::size_t>(n) * sizeof(dist::statement));
    dist::statement same{
        .ranks = n, .step = 7, .counted = (std::int64_t{1} << 40) + me, .plan = 1, .options = 2, .batch = 3};
    same.name("a step");
    auto const sum = n * (std::int64_t{1} << 40) + n * (n - 1) / 2;
    auto const goes_on = [&] {
        require(dist::agree(world, transfer, room, same).counted == sum, "counts add up");
    };
    goes_on();

    auto const refused = [&](int by, auto change, std::string const& words) {
        auto mine = same;
        if (me == by) change(mine);
        auto const found = failed([&] { dist::agree(world, transfer, room, mine); });
        require(found == words, "\"" + words + "\", but \"" + found + "\"");
        goes_on();
    };
    int const last = n - 1;
    auto const rank = "rank " + std::to_string(last) + ": found ";
    if (n > 1) {
        refused(
            last, [](auto& s) { s.options = 0xabc; },
            rank + "options 0000000000000abc, expected options 0000000000000002 as on rank 0");
        refused(
            last, [](auto& s) { s.plan = 9; },
            rank + "plan 0000000000000009, expected plan 0000000000000001 as on rank 0");
        refused(
            last, [](auto& s) { s.batch = 9; },
            rank + "batch 0000000000000009, expected batch 0000000000000003 as on rank 0");
        refused(
            last, [](auto& s) { s.step = 8; }, rank + "step 8, expected step 7 as on rank 0");
        refused(
            last, [](auto& s) { s.name("a walk"); }, rank + "a walk, expected a step as on rank 0");
        refused(
            last, [](auto& s) { s.version = 1; },
            rank + "version 1 of snug, expected " + std::to_string(SNUG_VERSION) + " as on rank 0");
    }
    refused(
        last, [](auto& s) { s.magic = 1; },
        rank + "bytes that are no statement of a rank, expected the same version of snug everywhere");
    refused(
        last, [](auto& s) { s.ranks = 64; },
        rank + std::to_string(n) +
            " processes, expected 64, as this trainer was compiled for: start it with mpirun -n 64, or give "
            "it snug::ranks<" +
            std::to_string(n) + ">");
    refused(
        last, [](auto& s) { s.fail(std::string(1000, 'x')); },
        "rank " + std::to_string(last) + ": " + std::string(dist::statement{}.message.size() - 1, 'x'));

    for (int bad = 0; bad < n; ++bad) {
        auto const found = failed([&] {
            dist::guarded(world, transfer, room, same, [&] {
                if (me >= bad)
                    throw snug::error({.file = "a.snapshot", .offset = 5}, "x",
                                      "y");  // several: the first counts
            });
        });
        require(found == "rank " + std::to_string(bad) + ": a.snapshot, byte 5: found x, expected y", found);
        goes_on();
    }
    auto const counted =
        dist::guarded(world, transfer, room, same, [](dist::statement& s) { s.counted = 2; });
    require(counted.counted == 2 * n, "what f states is what counts");
    require(failed([&] {
                dist::agree(world, transfer, std::span(room).first(room.size() - 1), same);
            }).find("to agree in") != std::string::npos,
            "too small a room is refused");
}

template <dist::transport World>
void refuses_misuse(World& world) {
    typename World::transfer transfer(world, 1);
    std::byte one[1]{}, two[1]{};
    for (int const other : {-1, world.size(), world.rank()}) {
        require(!failed([&] { world.send(transfer, other, one); }).empty(), "nobody there: refused");
        require(!failed([&] { world.receive(transfer, other, one); }).empty(), "nobody there: refused");
        world.send(transfer, other, {});
    }
    if (world.size() < 2) return;
    int const other = world.rank() ^ 1;
    if (other >= world.size()) return;
    world.receive(transfer, other, one);
    require(failed([&] {
                world.send(transfer, other, two);
            }).find("one message more than the 1 of a transfer") != std::string::npos,
            "one message too many is refused");
    typename World::transfer another(world, 1);
    auto moved = std::move(another);
    world.send(moved, other, two);
    world.wait(transfer);
    world.wait(moved);
}

template <dist::transport World>
void all_promises(World& world) {
    require(world.rank() >= 0 && world.rank() < world.size() && world.is_root() == (world.rank() == 0),
            "ranks are numbered");
    refuses_misuse(world);
    keeps_order(world);
    exchanges(world);
    gathers(world);
    agrees(world);
}

}  // namespace snug_test
