// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <cstdint>
#include <numbers>

namespace snug {

/// The learning rate over the steps of a run: a linear warm-up to `peak` over `warm_up` steps, then a cosine down to
/// `peak · floor` at step `total` (Loshchilov and Hutter, arXiv 1608.03983), which it keeps. With `total` 0 it stays
/// at its peak.
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

    /// `step` counts from 1.
    double operator()(std::int64_t step) const {
        if (step <= warm_up) return peak * static_cast<double>(step) / static_cast<double>(warm_up);
        if (total <= warm_up) return peak;
        if (step >= total) return peak * floor;
        double const progress = static_cast<double>(step - warm_up) / static_cast<double>(total - warm_up);
        return peak * (floor + (1 - floor) * 0.5 * (1 + std::cos(std::numbers::pi * progress)));
    }
};

}  // namespace snug
