// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <snug/policy.hpp>

namespace snug::accumulation {

/// An optimizer step sums the gradients of `Count` micro-batches, in place and in the gradient's type. The loss is the
/// mean over all counted tokens of the step, not the mean of the micro-batches' means.
template <index Count>
struct micro_batches {
    static_assert(Count > 0, "snug: a step has at least one micro-batch");
    using axis = snug::axis::accumulation;
    static constexpr index count = Count;
};

}  // namespace snug::accumulation

namespace snug {
template <class P>
concept accumulation_policy = policy<P> && std::same_as<typename P::axis, axis::accumulation> && requires {
    { P::count } -> std::convertible_to<index>;
};
}  // namespace snug
