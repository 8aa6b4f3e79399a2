// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <snug/policy.hpp>

namespace snug {

/// One micro-batch: `Sequences` sequences of `Tokens` tokens each. An optimizer step sees as many of them as the
/// accumulation policy says.
template <index Sequences, index Tokens>
struct batch {
    static_assert(Sequences > 0 && Tokens > 0, "snug: a batch has at least one sequence of at least one token");
    using axis = snug::axis::batch;
    static constexpr index sequences = Sequences;
    static constexpr index tokens = Tokens;
};

template <class P>
concept batch_policy = policy<P> && std::same_as<typename P::axis, axis::batch> && requires {
    { P::sequences } -> std::convertible_to<index>;
    { P::tokens } -> std::convertible_to<index>;
};

}  // namespace snug
