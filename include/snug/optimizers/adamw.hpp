// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <snug/kernels/adamw.hpp>
#include <snug/optimizers/optimizer.hpp>

namespace snug::SNUG_TARGET::optimizers {

/// AdamW (Loshchilov and Hutter, arXiv 1711.05101): two moments for every trained element.
template <class States = states<float>>
struct adamw {
    using axis = snug::axis::optimizer;
    // A stand-in when refused, so that the refusal is the only error.
    static_assert(sizeof(refusal::adamw_takes_states_of_a_type<States>) > 0);
    using element = typename std::conditional_t<refusal::adamw_takes_states_of_a_type<States>::holds, States,
                                                snug::optimizers::states<float>>::element;
    static_assert(sizeof(refusal::adamw_keeps_squares_of_gradients<element>) > 0);
    using states = meta::list<state_of<"first_moment", element>,
                              state_of<"second_moment", element, quantization::codebooks::dynamic_unsigned,
                                       quantization::codebooks::unsigned_linear_4bit>>;

    struct options {
        double beta1 = 0.9;
        double beta2 = 0.95;
        double epsilon = 1e-8;

        void check() const {
            detail::require_share("options.optimizer.beta1", beta1);
            detail::require_share("options.optimizer.beta2", beta2);
            // The update is computed in fp32, if not in fp64.
            detail::require_setting(std::isfinite(epsilon) && epsilon >= 1.2e-38 && epsilon <= 1e38,
                                    "options.optimizer.epsilon", epsilon,
                                    "a number that fp32 holds, above 1.2e-38");
        }
    };

    static auto rule(options const& o, update_numbers const& n) {
        auto const t = static_cast<double>(n.step);
        return kernels::adamw_step{n.learning_rate,
                                   o.beta1,
                                   o.beta2,
                                   o.epsilon,
                                   1 - n.learning_rate * n.weight_decay,
                                   1 / (1 - std::pow(o.beta1, t)),
                                   1 / std::sqrt(1 - std::pow(o.beta2, t))};
    }
};

}  // namespace snug::SNUG_TARGET::optimizers
