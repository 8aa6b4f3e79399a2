// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <concepts>
#include <snug/policy.hpp>
#include <snug/precision/bf16.hpp>

namespace snug {

using fp32 = float;
using fp64 = double;

/// What a precision policy decides: the element type of everything that is stored.
/// - `weight`: what the products read; `activation`: what layers pass on and save, and the gradients of it;
/// - `gradient`: of the parameters, summed over micro-batches; `statistic`: row statistics, losses, sums;
/// - `master`: the copy that the optimizer updates, `void` when it updates `weight` itself.
template <class P>
concept precision_policy = policy<P> && std::same_as<typename P::axis, axis::precision> && requires {
    typename P::weight;
    typename P::activation;
    typename P::gradient;
    typename P::statistic;
    typename P::master;
};

namespace precision {

/// Everything in `T` (fp32 or fp64).
template <std::floating_point T>
struct full {
    using axis = snug::axis::precision;
    using weight = T;
    using activation = T;
    using gradient = T;
    using statistic = T;
    using master = void;
};

/// Products in `T` with fp32 sums; fp32 master weights, gradients and statistics
/// (Micikevicius et al., "Mixed Precision Training", arXiv 1710.03740).
template <class T>
    requires std::same_as<T, bf16>
struct mixed {
    using axis = snug::axis::precision;
    using weight = T;
    using activation = T;
    using gradient = fp32;
    using statistic = fp32;
    using master = fp32;
};

}  // namespace precision
}  // namespace snug
