// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>
#include <snug/target.hpp>

namespace snug::SNUG_TARGET {

/// Dynamic loss scale for formats whose small gradients would vanish (Micikevicius et al., arXiv 1710.03740, section
/// 3.2): the loss is multiplied by `value` before backward and the gradients divided by it before the update. Doubles
/// after 2000 good steps in a row, halves when a gradient overflowed, doubles when all of them vanished, and after either the
/// step changes nothing. It stays between 1, as DeepSpeed's (`min_loss_scale`), and 2^24, as Apex's (`max_loss_scale`): what
/// overflows at 1 no scale helps, and what vanishes at 2^24 is not small but not there. Either is an error, as are 50 skipped
/// steps in a row.
struct loss_scale {
    static constexpr std::int64_t steps_until_growth = 2000;
    static constexpr int least_exponent = 0;
    static constexpr int largest_exponent = 24;
    static constexpr double least = 1 << least_exponent;
    static constexpr double largest = 1 << largest_exponent;
    static constexpr std::int64_t most_skips = 50;

    double value = 65536;  ///< a power of two
    std::int64_t good_steps = 0;
    std::int64_t skips = 0;  ///< in a row

    void step_was_good() {
        skips = 0;
        if (++good_steps < steps_until_growth) return;
        value = std::min(2 * value, largest);
        good_steps = 0;
    }
    /// Each returns whether another scale is worth trying.
    [[nodiscard]] bool gradient_overflowed() { return skip(value > least, value / 2); }
    [[nodiscard]] bool gradient_vanished() { return skip(value < largest, value * 2); }

  private:
    bool skip(bool can_move, double next) {
        good_steps = 0;
        if (can_move) value = next;
        return ++skips < most_skips && can_move;
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

}  // namespace snug::SNUG_TARGET
