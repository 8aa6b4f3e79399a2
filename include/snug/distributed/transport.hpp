// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <snug/error.hpp>
#include <snug/meta.hpp>
#include <span>
#include <string>
#include <string_view>

namespace snug::SNUG_TARGET::distributed {

using seconds = std::chrono::duration<double>;

/// What a rank is at, for the line that it leaves when it waits in vain: the caller sets it, and keeps the texts.
struct activity {
    std::int64_t step = -1;
    std::string_view operation{};  ///< "exchange"
    std::string_view of{};         ///< "blocks"
    index_t block = -1;            ///< 7, for "exchange of blocks.7"
};

/// A world: who this rank is, and messages to others. It moves bytes and adds nothing.
///
/// A `transfer` holds the messages under way that are waited for together. It is made once, for at most so many messages, and
/// used again and again; nothing is allocated after that. `send` and `receive` begin a message, and its bytes belong to the
/// transport until `is_done` (which never blocks) has said true or `wait` has returned: so declare a transfer after the
/// memory that it moves. Messages of one pair of ranks arrive in the order in which they were sent, and are received in the order in
/// which that was asked for, whatever transfers they are in; what is sent and what is asked for are equally long. An empty
/// message is none, on both sides. A rank that has waited for `deadline` without anything arriving ends everybody's run.
template <class World>
concept transport = requires(World& world, World const& self, typename World::transfer& transfer,
                             std::span<std::byte const> out, std::span<std::byte> in, int other) {
    { self.rank() } -> std::same_as<int>;
    { self.size() } -> std::same_as<int>;
    { self.is_root() } -> std::same_as<bool>;
    { world.send(transfer, other, out) } -> std::same_as<void>;
    { world.receive(transfer, other, in) } -> std::same_as<void>;
    { world.is_done(transfer) } -> std::same_as<bool>;
    { world.wait(transfer) } -> std::same_as<void>;
    { world.deadline } -> std::convertible_to<seconds>;
    { world.doing } -> std::convertible_to<activity>;
}
&&std::constructible_from<typename World::transfer, World&, int>&& std::movable<typename World::transfer>;

namespace detail {

/// Refuses a message that has no other side.
inline void require_other(int rank, int size, int other) {
    if (other < 0 || other >= size || other == rank)
        throw error({.rank = rank}, "a message to or from rank " + std::to_string(other),
                    "another rank below " + std::to_string(size));
}

/// Refuses one message more than a transfer was made for.
inline void require_room(int rank, std::size_t used, std::size_t messages) {
    if (used >= messages)
        throw error({.rank = rank},
                    "one message more than the " + std::to_string(messages) + " of a transfer",
                    "a transfer that is waited for, or made for more");
}

}  // namespace detail

}  // namespace snug::SNUG_TARGET::distributed
