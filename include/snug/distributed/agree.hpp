// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <cstring>
#include <exception>
#include <snug/distributed/collectives.hpp>
#include <snug/distributed/hash.hpp>
#include <snug/distributed/transport.hpp>
#include <snug/version.hpp>
#include <type_traits>
#include <utility>

namespace snug::SNUG_TARGET::distributed {

/// What every rank tells every other before they do something together: what must be equal, what is counted, and what went
/// wrong. It travels as it lies in memory.
struct statement {
    static constexpr std::uint32_t magic_number = 0x67756e73;  // "snug", and the order of bytes

    std::uint32_t magic = magic_number;
    std::int32_t version = SNUG_VERSION;
    std::int32_t status = 0;   ///< not 0: this rank cannot go on, for the reason in `message`
    std::int32_t ranks = 0;    ///< as many processes as its trainer was compiled for; 0: any
    std::int64_t step = 0;     ///< equal on all ranks, as the hashes are
    std::int64_t counted = 0;  ///< summed over the ranks
    std::uint64_t plan = 0;
    std::uint64_t seed = 0;
    std::uint64_t options = 0;
    std::uint64_t batch = 0;
    std::array<char, 32>
        act{};  ///< what is agreed on; equal on all ranks. Ends with a zero, as the message does.
    std::array<char, 160> message{};

    /// What this rank is about to do, in at most 31 bytes.
    void name(std::string_view of) { put(of, act); }
    /// It went wrong, in these words, of which the first 159 bytes travel.
    void fail(std::string_view why) {
        status = 1;
        put(why, message);
    }

  private:
    template <std::size_t Size>
    static void put(std::string_view text, std::array<char, Size>& to) {
        to = {};
        std::copy_n(text.data(), std::min(text.size(), Size - 1), to.data());
    }
};
static_assert(sizeof(statement) == 256 && std::is_trivially_copyable_v<statement>);

/// What all ranks know now.
struct agreement {
    std::int64_t counted = 0;  ///< the sum over all ranks
};

/// Messages that `agree` has under way at once.
template <transport World>
constexpr int messages_to_agree(World const& world) {
    return 2 * (world.size() - 1);
}

/// All ranks call it and hear the same: the sum of what they count, or the same `snug::error`: that of the first rank that
/// failed, or the first difference. `room`: 256 bytes for every rank. `transfer`: idle, for `messages_to_agree(world)`.
template <transport World>
agreement agree(World& world, typename World::transfer& transfer, std::span<std::byte> room,
                statement const& mine) {
    constexpr auto size = sizeof(statement);
    auto const count = static_cast<std::size_t>(world.size());
    if (room.size() != count * size)
        throw error({.rank = world.rank()}, std::to_string(room.size()) + " bytes to agree in",
                    std::to_string(count * size));
    std::memcpy(room.data() + static_cast<std::size_t>(world.rank()) * size, &mine, size);
    all_gather(world, transfer, room);
    world.wait(transfer);

    auto const of = [&](int rank) {
        statement result;
        std::memcpy(&result, room.data() + static_cast<std::size_t>(rank) * size, size);
        result.act.back() = result.message.back() = 0;
        return result;
    };
    // Every rank goes through the same statements in the same order, so all of them throw alike.
    auto const differs = [](int rank, std::string found, std::string expected) {
        throw error({.rank = rank}, std::move(found), std::move(expected) + " as on rank 0");
    };
    auto const root = of(0);
    for (int rank = 0; rank < world.size(); ++rank) {
        auto const theirs = of(rank);
        if (theirs.magic != statement::magic_number)
            throw error({.rank = rank}, "bytes that are no statement of a rank",
                        "the same version of snug everywhere");
        if (theirs.version != root.version)
            differs(rank, "version " + std::to_string(theirs.version) + " of snug",
                    std::to_string(root.version));
    }
    for (int rank = 0; rank < world.size(); ++rank)
        if (auto const theirs = of(rank); theirs.status) throw error::of_rank(rank, theirs.message.data());
    agreement result;
    for (int rank = 0; rank < world.size(); ++rank) {
        auto const theirs = of(rank);
        if (theirs.ranks && theirs.ranks != world.size()) {
            auto const built = std::to_string(theirs.ranks), here = std::to_string(world.size());
            throw error({.rank = rank}, here + " processes",
                        built + ", as this trainer was compiled for: start it with mpirun -n " + built +
                            ", or give it snug::ranks<" + here + ">");
        }
        if (theirs.act != root.act) differs(rank, theirs.act.data(), root.act.data());
        auto const same = [&](char const* what, auto statement::*field) {
            auto const hash = [&](statement const& s) {
                char text[24];
                if constexpr (std::is_signed_v<std::decay_t<decltype(s.*field)>>)
                    std::snprintf(text, sizeof text, "%lld", static_cast<long long>(s.*field));
                else std::snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(s.*field));
                return std::string(what) + " " + text;
            };
            if (theirs.*field != root.*field) differs(rank, hash(theirs), hash(root));
        };
        same("step", &statement::step);
        same("plan", &statement::plan);
        same("seed", &statement::seed);
        same("options", &statement::options);
        same("batch", &statement::batch);
        result.counted += theirs.counted;
    }
    return result;
}

/// Runs `f()`, or `f(mine)` to complete what this rank states, and agrees, so that what one rank throws is thrown by all.
/// In `f` this rank talks to no other, and what it throws leaves no message under way.
template <transport World, class F>
agreement guarded(World& world, typename World::transfer& transfer, std::span<std::byte> room, statement mine,
                  F&& f) {
    try {
        if constexpr (std::is_invocable_v<F&, statement&>) f(mine);
        else f();
    } catch (std::exception const& e) {
        mine.fail(e.what());
    }
    return agree(world, transfer, room, mine);
}

}  // namespace snug::SNUG_TARGET::distributed
