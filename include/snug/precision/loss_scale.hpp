// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace snug {

/// Dynamic loss scale for formats whose small gradients would vanish (Micikevicius et al., arXiv 1710.03740, section
/// 3.2): the loss is multiplied by `value` before backward and the gradients divided by it before the update. Doubles
/// after 2000 good steps in a row, halves when a gradient overflowed, and then that step changes nothing.
struct loss_scale {
    static constexpr std::int64_t steps_until_growth = 2000;

    double value = 65536;
    std::int64_t good_steps = 0;

    void step_was_good() {
        if (++good_steps == steps_until_growth) value *= 2, good_steps = 0;
    }
    void gradient_overflowed() {
        value /= 2;
        good_steps = 0;
    }
};

/// The precision policy asks for a dynamic loss scale.
template <class Precision>
inline constexpr bool scales_loss = false;
template <class Precision>
    requires requires { Precision::scales_loss; }
inline constexpr bool scales_loss<Precision> = Precision::scales_loss;

/// The precision policy has no master copy and rounds updated weights stochastically.
template <class Precision>
inline constexpr bool rounds_stochastically = false;
template <class Precision>
    requires requires { Precision::rounds_stochastically; }
inline constexpr bool rounds_stochastically<Precision> = Precision::rounds_stochastically;

}  // namespace snug
