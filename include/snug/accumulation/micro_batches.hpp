// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <concepts>
#include <snug/policy.hpp>
#include <type_traits>

namespace snug::SNUG_TARGET::accumulation {

/// An optimizer step sums the gradients of `Count` micro-batches, in place and in the gradient's type. The loss is the
/// mean over all counted tokens of the step, not the mean of the micro-batches' means.
template <index_t Count>
struct micro_batches {
    using axis = snug::axis::accumulation;
    static constexpr index_t count = Count;
};

}  // namespace snug::SNUG_TARGET::accumulation

namespace snug::SNUG_TARGET {
template <class P>
concept accumulation_policy = policy<P> && std::same_as<typename P::axis, axis::accumulation> && requires {
    requires std::integral<std::remove_cvref_t<decltype(P::count)>>;
    requires P::count >
    0;
};

namespace refusal {

template <class Policy>
struct this_is_not_an_accumulation {
    static constexpr bool holds = accumulation_policy<Policy>;
    static_assert(
        holds,
        "snug: a policy of the axis accumulation needs 'count', the micro-batches of a step, as a constant "
        "of at least 1 (see Policy)");
};

}  // namespace refusal
}  // namespace snug::SNUG_TARGET
