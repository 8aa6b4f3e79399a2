// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <snug/policy.hpp>

namespace snug {

/// One micro-batch: `Sequences` sequences of `Tokens` tokens each. An optimizer step sees as many of them as the
/// accumulation policy says.
template <index_t Sequences, index_t Tokens>
struct batch {
    using axis = snug::axis::batch;
    static constexpr index_t sequences = Sequences;
    static constexpr index_t tokens = Tokens;
};

}  // namespace snug

namespace snug::SNUG_TARGET {

template <class P>
concept batch_policy = policy<P> && std::same_as<typename P::axis, axis::batch> && requires {
    { P::sequences } -> std::convertible_to<index_t>;
    { P::tokens } -> std::convertible_to<index_t>;
    requires P::sequences >
    0 && P::tokens > 0;
};

namespace refusal {

template <class Policy>
struct this_is_not_a_batch {
    static constexpr bool holds = batch_policy<Policy>;
    static_assert(
        holds,
        "snug: a policy of the axis batch needs 'sequences', those of a micro-batch, and 'tokens', those of "
        "each, as constants of at least 1 (see Policy)");
};

}  // namespace refusal
}  // namespace snug::SNUG_TARGET
