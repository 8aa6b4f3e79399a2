// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <concepts>
#include <snug/policy.hpp>
#include <snug/precision/bf16.hpp>
#include <snug/precision/fp16.hpp>

namespace snug::SNUG_TARGET {

using fp32 = float;
using fp64 = double;

/// A format that tensors can be stored in: fp32, fp64, bf16, or one of your own that converts from and to float.
template <class T>
concept element_type =
    !std::integral<T> && std::is_trivially_copyable_v<T> && requires(T element, float value) {
    static_cast<T>(value);
    static_cast<float>(element);
};

/// What a precision policy decides: the element type of everything that is stored.
/// - `weight`: what the products read; `activation`: what layers pass on and save, and the gradients of it;
/// - `gradient`: of the parameters, summed over micro-batches; `statistic`: row statistics, losses, sums;
/// - `master`: the copy that the optimizer updates, `void` when it updates `weight` itself.
template <class P>
concept precision_policy = policy<P> && std::same_as<typename P::axis, axis::precision> && requires {
    requires element_type<typename P::weight>;
    requires element_type<typename P::activation>;
    requires element_type<typename P::gradient>;
    requires element_type<typename P::statistic>;
    typename P::master;
};

namespace refusal {

template <class Policy>
struct this_is_not_a_precision {
    static constexpr bool holds = precision_policy<Policy>;
    static constexpr bool is_complete = requires {
        typename Policy::weight;
        typename Policy::activation;
        typename Policy::gradient;
        typename Policy::statistic;
        typename Policy::master;
    };
    static_assert(
        requires { typename Policy::weight; },
        "snug: a policy of the axis precision needs 'using weight', the type that products read (see "
        "Policy)");
    static_assert(
        requires { typename Policy::activation; },
        "snug: a policy of the axis precision needs 'using activation', the type of what layers pass on (see "
        "Policy)");
    static_assert(
        requires { typename Policy::gradient; },
        "snug: a policy of the axis precision needs 'using gradient', that of the parameters' gradients (see "
        "Policy)");
    static_assert(
        requires { typename Policy::statistic; },
        "snug: a policy of the axis precision needs 'using statistic', the type of row statistics (see "
        "Policy)");
    static_assert(
        requires { typename Policy::master; },
        "snug: a policy of the axis precision needs 'using master', the type of the copy that the optimizer "
        "updates, void for none (see Policy)");
    static_assert(holds || !is_complete,
                  "snug: the types of a precision are floating point: snug::fp32, snug::fp64, snug::bf16, or "
                  "a format of your own that converts from and to float (see Policy)");
};

template <class T>
struct full_precision_stores_fp32_or_fp64 {
    static_assert(
        std::same_as<T, fp32> || std::same_as<T, fp64>,
        "snug: precision::full<T> stores everything in T, which is snug::fp32 or snug::fp64 (see T)");
};

template <class T>
struct mixed_precision_computes_in_bf16_or_fp16 {
    static_assert(
        std::same_as<T, bf16> || std::same_as<T, fp16>,
        "snug: precision::mixed<T> computes in T and keeps fp32 master weights, so T is snug::bf16 or "
        "snug::fp16 (see T). For fp32 or fp64 throughout there is precision::full<T>");
};

template <class T>
struct pure_precision_stores_bf16 {
    static_assert(
        std::same_as<T, bf16>,
        "snug: precision::pure<T> keeps weights in T alone, rounded stochastically; T is snug::bf16 "
        "(see T). For fp32 or fp64 throughout there is precision::full<T>");
};

}  // namespace refusal

namespace precision {

/// Everything in `T` (fp32 or fp64).
template <class T>
struct full {
    static_assert(sizeof(refusal::full_precision_stores_fp32_or_fp64<T>) > 0);
    using axis = snug::axis::precision;
    using weight = T;
    using activation = T;
    using gradient = T;
    using statistic = T;
    using master = void;
};

/// Products in `T` (bf16 or fp16) with fp32 sums; fp32 master weights, gradients and statistics
/// (Micikevicius et al., "Mixed Precision Training", arXiv 1710.03740). fp16 comes with a dynamic loss scale, without
/// which its small gradients vanish.
template <class T>
struct mixed {
    static_assert(sizeof(refusal::mixed_precision_computes_in_bf16_or_fp16<T>) > 0);
    using axis = snug::axis::precision;
    using weight = T;
    using activation = T;
    using gradient = fp32;
    using statistic = fp32;
    using master = fp32;
    static constexpr bool scales_loss = std::same_as<T, fp16>;
};

/// Everything in bf16, without a master copy: an update is computed in fp32 and rounded stochastically, so that steps
/// smaller than a unit in the last place still move the weights on average (Gupta et al., arXiv 1502.02551).
template <class T>
struct pure {
    static_assert(sizeof(refusal::pure_precision_stores_bf16<T>) > 0);
    using axis = snug::axis::precision;
    using weight = T;
    using activation = T;
    using gradient = T;
    using statistic = fp32;
    using master = void;
    static constexpr bool rounds_stochastically = true;
};

}  // namespace precision
}  // namespace snug::SNUG_TARGET
