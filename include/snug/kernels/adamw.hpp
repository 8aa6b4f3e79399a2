// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <snug/kernels/math.hpp>

namespace snug::SNUG_TARGET::kernels {

/// AdamW for one element (Loshchilov and Hutter, arXiv 1711.05101), with the numbers that all elements of a step share.
struct adamw_step {
    double learning_rate;
    double beta1;
    double beta2;
    double epsilon;
    double decay;        ///< 1 - learning_rate · weight_decay
    double correction1;  ///< 1 / (1 - beta1^t)
    double correction2;  ///< 1 / √(1 - beta2^t)

    /// Returns the new weight and updates both moments.
    template <class S, class State>
    constexpr S operator()(S weight, S gradient, State& first_moment, State& second_moment) const {
        S const m = static_cast<S>(first_moment) +
                    (gradient - static_cast<S>(first_moment)) * static_cast<S>(1 - beta1);
        S const v = static_cast<S>(second_moment) * static_cast<S>(beta2) +
                    gradient * gradient * static_cast<S>(1 - beta2);
        first_moment = stored_as<State>(m);
        second_moment = stored_as<State>(v);
        S const denominator = std::sqrt(v) * static_cast<S>(correction2) + static_cast<S>(epsilon);
        return weight * static_cast<S>(decay) - static_cast<S>(learning_rate * correction1) * m / denominator;
    }
};

}  // namespace snug::SNUG_TARGET::kernels
