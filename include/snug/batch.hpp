// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <snug/policy.hpp>

namespace snug {

/// One micro-batch: `Sequences` sequences of `Tokens` tokens each. An optimizer step sees as many of them as the
/// accumulation policy says.
template <index Sequences, index Tokens>
struct batch {
    using axis = snug::axis::batch;
    static constexpr index sequences = Sequences;
    static constexpr index tokens = Tokens;
};

template <class P>
concept batch_policy = policy<P> && std::same_as<typename P::axis, axis::batch> && requires {
    { P::sequences } -> std::convertible_to<index>;
    { P::tokens } -> std::convertible_to<index>;
};

namespace refusal {

template <class Policy>
struct this_is_not_a_batch {
    static constexpr bool holds = batch_policy<Policy>;
    static_assert(holds, "snug: a policy of the axis batch lacks `sequences` or `tokens` (see Policy): the number of "
                         "sequences of a micro-batch, and of tokens in each");
};

template <class Policy, index Sequences, index Tokens>
struct a_batch_must_not_be_empty {
    static constexpr bool holds = Sequences > 0 && Tokens > 0;
    static_assert(holds, "snug: a batch has at least one sequence of at least one token (see Sequences and Tokens)");
};

}  // namespace refusal
}  // namespace snug
