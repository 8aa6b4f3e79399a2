// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numbers>
#include <snug/diagnose/require.hpp>

namespace snug::SNUG_TARGET {

/// The learning rate over the steps of a run: a linear warm-up to `peak` over `warm_up` steps, then a cosine down to
/// `peak · floor` at step `total` (Loshchilov and Hutter, arXiv 1608.03983), which it keeps. With `total` 0 it stays
/// at its peak. Numbers that make no schedule are refused before a step (`check`).
struct schedule {
    double peak = 3e-4;
    std::int64_t warm_up = 0;
    std::int64_t total = 0;
    double floor = 0.1;

    static constexpr schedule constant(double rate) { return {rate, 0, 0, 1}; }
    static constexpr schedule warm_up_cosine(double peak, std::int64_t warm_up, std::int64_t total,
                                             double floor = 0.1) {
        return {peak, warm_up, total, floor};
    }

    /// Throws `snug::error`, by the name of the number, unless rates are finite and not negative, steps are not negative, and a
    /// total, if there is one, is more than the warm-up.
    void check() const {
        detail::require_not_negative("options.learning_rate.peak", peak);
        detail::require_not_negative("options.learning_rate.floor", floor);
        detail::require_not_negative("options.learning_rate.peak * floor", largest());
        detail::require_setting(warm_up >= 0, "options.learning_rate.warm_up", warm_up,
                                "a number of steps that is not negative");
        if (total != 0 && total <= warm_up)
            throw error({}, "options.learning_rate.total = " + std::to_string(total),
                        "more steps than the " + std::to_string(warm_up) +
                            " of the warm-up, or 0 to stay at the peak");
    }

    double largest() const { return peak * std::max(1.0, floor); }

    /// `step` counts from 1.
    double operator()(std::int64_t step) const {
        if (step <= warm_up) return peak * static_cast<double>(step) / static_cast<double>(warm_up);
        if (total <= warm_up) return peak;
        if (step >= total) return peak * floor;
        double const progress = static_cast<double>(step - warm_up) / static_cast<double>(total - warm_up);
        return peak * (floor + (1 - floor) * 0.5 * (1 + std::cos(std::numbers::pi * progress)));
    }
};

}  // namespace snug::SNUG_TARGET
