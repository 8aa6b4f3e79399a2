// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <snug/policy.hpp>
#include <snug/units.hpp>

namespace snug::SNUG_TARGET {

namespace sharding {

/// One process owns everything.
struct none {
    using axis = snug::axis::sharding;
    static constexpr int ranks = 1;
};

}  // namespace sharding

/// A sharding says over how many processes a trainer goes, `ranks`, and what each of them holds a share of:
/// optimizer states and master copy from `stage` 1 on, gradients from 2, weights in 3. Shares are of one of
/// `replicas`: every `ranks / replicas` processes after each other have a whole model between them.
template <class P>
concept sharding_policy = policy<P> && std::same_as<typename P::axis, axis::sharding> &&
    (std::same_as<P, sharding::none> || requires {
        { P::ranks } -> std::convertible_to<int>;
        { P::replicas } -> std::convertible_to<int>;
        { P::stage } -> std::convertible_to<int>;
        { P::reduces_each_micro_batch } -> std::convertible_to<bool>;
        { P::bucket } -> std::convertible_to<bytes>;
        { P::prefetch } -> std::convertible_to<int>;
        { P::keep_below } -> std::convertible_to<bytes>;
        typename P::wire;
        requires P::ranks >= 1 && P::stage >= 0 && P::stage <= 3;
        requires P::replicas >= 1 && P::ranks % P::replicas == 0;
    });

namespace refusal {

template <class Policy>
struct this_is_not_a_sharding {
    static constexpr bool holds = sharding_policy<Policy>;
    static_assert(
        holds,
        "snug: a policy of the axis sharding has 'ranks', 'replicas' (which divide them), 'stage' (0 to 3), "
        "'reduces_each_micro_batch', 'bucket' and 'keep_below' in bytes, 'prefetch', and 'wire', a type or "
        "void, as sharding::data_parallel and sharding::zero have them (see Policy)");
};

}  // namespace refusal
}  // namespace snug::SNUG_TARGET
