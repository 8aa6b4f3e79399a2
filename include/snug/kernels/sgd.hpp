// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <snug/kernels/math.hpp>

namespace snug::SNUG_TARGET::kernels {

/// Gradient descent with momentum for one element, with the numbers that all elements of a step share.
struct sgd_step {
    double learning_rate;
    double momentum;
    double decay;  ///< 1 - learning_rate · weight_decay

    /// Returns the new weight and updates the momentum.
    template <class S, class State>
    constexpr S operator()(S weight, S gradient, State& velocity) const {
        S const v = static_cast<S>(velocity) * static_cast<S>(momentum) + gradient;
        velocity = stored_as<State>(v);
        return weight * static_cast<S>(decay) - static_cast<S>(learning_rate) * v;
    }
};

}  // namespace snug::SNUG_TARGET::kernels
