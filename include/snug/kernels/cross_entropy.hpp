// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <snug/kernels/math.hpp>
#include <snug/meta.hpp>

namespace snug::SNUG_TARGET::kernels {

/// Softmax cross-entropy of one row of logits. Returns -log softmax(logits)[target]; when `scale` is not
/// null, replaces the logits by their gradient, (softmax - onehot(target)) · scale.
/// A negative target is not counted: loss 0, gradient 0.
template <class Statistic, class Team, class T>
constexpr Statistic cross_entropy(Team team, index_t vocabulary, T* logits, std::int32_t target,
                                  Statistic const* scale) {
    using S = Statistic;
    if (target < 0) {
        if (scale) team.for_each(vocabulary, [=](index_t i) { logits[i] = T(S(0)); });
        return S(0);
    }
    S const largest =
        team.template largest<S>(vocabulary, [=](index_t i) { return static_cast<S>(logits[i]); });
    S const at_target = static_cast<S>(logits[target]);
    S const total = team.template sum<S>(
        vocabulary, [=](index_t i) { return exponential(static_cast<S>(logits[i]) - largest); });
    if (scale) {
        S const one = *scale;
        S const factor = one / total;
        if constexpr (Team::lanes == 1) {
            team.for_each(vocabulary, [=](index_t i) {
                logits[i] = T(exponential(static_cast<S>(logits[i]) - largest) * factor);
            });
            logits[target] = T((exponential(at_target - largest) / total - S(1)) * one);
        } else {
            team.map(
                vocabulary,
                [=](index_t i) {
                    auto const p = exponential(static_cast<S>(logits[i]) - largest);
                    return T(p * factor - (i == target ? one : S(0)));
                },
                [=](index_t i, T value) { logits[i] = value; });
        }
    }
    return std::log(total) + largest - at_target;
}

}  // namespace snug::SNUG_TARGET::kernels
