// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <snug/distributed/deadline.hpp>
#include <snug/distributed/names.hpp>
#include <snug/distributed/transport.hpp>

namespace snug::SNUG_TARGET::distributed {

/// A world of one rank. There is nobody to send to.
class self {
  public:
    class transfer {
      public:
        transfer(self&, int) {}
    };

    int rank() const { return 0; }
    int size() const { return 1; }
    bool is_root() const { return true; }

    void send(transfer&, int to, std::span<std::byte const> bytes) {
        if (!bytes.empty()) detail::require_other(0, 1, to);
    }
    void receive(transfer&, int from, std::span<std::byte> bytes) {
        if (!bytes.empty()) detail::require_other(0, 1, from);
    }
    bool is_done(transfer&) { return true; }
    void wait(transfer&) {}

    /// Says what was found in one line, and ends the run by a `snug::error`.
    [[noreturn]] void end(std::string const& found, std::string const& expected) {
        detail::say(0, doing, found);
        throw error({.rank = 0}, found, expected);
    }

    seconds deadline = deadline_from_environment();
    activity doing{};
};

static_assert(transport<self>);

}  // namespace snug::SNUG_TARGET::distributed
