// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <snug/kernels/lion.hpp>
#include <snug/optimizers/optimizer.hpp>

namespace snug::SNUG_TARGET {

namespace refusal {

template <class Given>
struct lion_takes_states_of_a_type {
    static constexpr bool holds = requires { typename Given::element; };
    static_assert(holds,
                  "snug: the argument of optimizers::lion is the type of its states, written "
                  "lion<states<snug::fp32>> (see Given)");
};

}  // namespace refusal

namespace optimizers {

/// Lion (Chen et al., "Symbolic Discovery of Optimization Algorithms", arXiv 2302.06675): every weight moves by the
/// learning rate, up or down by the sign of an average of gradients; half the states of AdamW. With gradient g,
/// momentum m, learning rate η and weight decay λ, w ← w (1 - η λ) - η sign(β₁ m + (1 - β₁) g), then m ← β₂ m + (1 -
/// β₂) g, where sign(0) = 0.
///
/// As every element moves by all of η, a learning rate that suits AdamW is too large: take one 3 to 10 times smaller,
/// and a weight decay as many times larger, so that their product stays.
template <class States = states<float>>
struct lion {
    using axis = snug::axis::optimizer;
    // A stand-in when refused, so that the refusal is the only error.
    static_assert(sizeof(refusal::lion_takes_states_of_a_type<States>) > 0);
    using element = typename std::conditional_t<refusal::lion_takes_states_of_a_type<States>::holds, States,
                                                snug::optimizers::states<float>>::element;
    using states = meta::list<state_of<"momentum", element>>;

    struct options {
        double beta1 = 0.9;
        double beta2 = 0.99;

        void check() const {
            detail::require_share("options.optimizer.beta1", beta1);
            detail::require_share("options.optimizer.beta2", beta2);
        }
    };

    static auto rule(options const& o, update_numbers const& n) {
        return kernels::lion_step{n.learning_rate, o.beta1, o.beta2, 1 - n.learning_rate * n.weight_decay};
    }
};

}  // namespace optimizers

}  // namespace snug::SNUG_TARGET
