// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <snug/kernels/math.hpp>

namespace snug::SNUG_TARGET::kernels {

/// Lion for one element (Chen et al., arXiv 2302.06675, algorithm 2), with the numbers that all elements of a step
/// share.
struct lion_step {
    double learning_rate;
    double beta1;
    double beta2;
    double decay;  ///< 1 - learning_rate · weight_decay

    /// Returns the new weight and updates the momentum. A direction of exactly 0 does not move the weight.
    template <class S, class State>
    constexpr S operator()(S weight, S gradient, State& momentum) const {
        S const m = static_cast<S>(momentum);
        S const direction = static_cast<S>(beta1) * m + static_cast<S>(1 - beta1) * gradient;
        momentum = stored_as<State>(static_cast<S>(beta2) * m + static_cast<S>(1 - beta2) * gradient);
        S const sign = static_cast<S>(direction > S(0)) - static_cast<S>(direction < S(0));
        return weight * static_cast<S>(decay) - static_cast<S>(learning_rate) * sign;
    }
};

}  // namespace snug::SNUG_TARGET::kernels
