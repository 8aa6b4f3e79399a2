// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <snug/distributed/transport.hpp>

namespace snug::SNUG_TARGET::distributed {

/// How long a rank waits in vain before everybody's run ends: SNUG_DEADLINE_SECONDS, or 60.
inline seconds deadline_from_environment() {
    char const* const text = std::getenv("SNUG_DEADLINE_SECONDS");
    if (!text || !*text) return seconds{60};
    char* end = nullptr;
    double const value = std::strtod(text, &end);
    if (*end || !(value > 0) || !std::isfinite(value))
        throw error({}, "SNUG_DEADLINE_SECONDS=" + std::string(text), "seconds, more than 0");
    return seconds{value};
}

namespace detail {

/// One line on stderr, in one piece whatever other processes write: "snug: rank 2, step 1200, exchange of blocks.7: ...".
/// Allocates nothing: it may be the last thing that a process says.
inline void say(int rank, activity const& doing, std::string_view what) {
    char line[512];
    std::size_t used = 0;
    auto const add = [&](std::string_view text) {
        auto const size = std::min(text.size(), sizeof line - 1 - used);  // one for the end of the line
        std::copy_n(text.data(), size, line + used);
        used += size;
    };
    auto const add_number = [&](char const* before, std::int64_t number) {
        char digits[24];
        auto const end = std::to_chars(digits, digits + sizeof digits, number).ptr;
        add(before);
        add({digits, static_cast<std::size_t>(end - digits)});
    };
    add_number("snug: rank ", rank);
    if (doing.step >= 0) add_number(", step ", doing.step);
    if (!doing.operation.empty()) add(", "), add(doing.operation);
    if (!doing.of.empty()) add(" of "), add(doing.of);
    if (doing.block >= 0) add_number(".", doing.block);
    add(": ");
    add(what);
    line[used++] = '\n';
    [[maybe_unused]] auto const written = ::write(STDERR_FILENO, line, used);
}

/// The line of a rank whose deadline has passed. `receiving`: it waits for a message, else for one to be taken.
inline void say_late(int rank, activity const& doing, bool receiving, int other, seconds waited) {
    char what[64];
    std::snprintf(what, sizeof what, "nothing %s rank %d for %.1f s", receiving ? "from" : "taken by", other,
                  waited.count());
    say(rank, doing, what);
}

/// Polls `advance` (how many messages came to their end now, or -1: all have) until nothing is left, giving the processor away
/// in between; `late(seconds)` when for the whole of `deadline` nothing ended. Only waiting counts.
template <class Advance, class Late>
void yielding_wait(Advance advance, seconds deadline, Late late) {
    using clock = std::chrono::steady_clock;
    int ended = advance();
    auto last = clock::now();
    while (ended >= 0) {
        ::sched_yield();
        ended = advance();
        auto const now = clock::now();
        if (ended > 0) last = now;
        else if (ended == 0 && now - last > deadline) late(seconds(now - last));
    }
}

}  // namespace detail

}  // namespace snug::SNUG_TARGET::distributed
