// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <snug/kernels/sgd.hpp>
#include <snug/optimizers/optimizer.hpp>

namespace snug::SNUG_TARGET::optimizers {

/// Stochastic gradient descent with momentum (Polyak; as Sutskever et al. 2013 write it, without dampening): one state
/// for every trained element. Weight decay is decoupled, as in AdamW.
template <class Element = float>
struct sgd {
    using axis = snug::axis::optimizer;
    using states = meta::list<state_of<"momentum", Element>>;

    struct options {
        double momentum = 0.9;

        void check() const { detail::require_share("options.optimizer.momentum", momentum); }
    };

    static auto rule(options const& o, update_numbers const& n) {
        return kernels::sgd_step{n.learning_rate, o.momentum, 1 - n.learning_rate * n.weight_decay};
    }
};

}  // namespace snug::SNUG_TARGET::optimizers
