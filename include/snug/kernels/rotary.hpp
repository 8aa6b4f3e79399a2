// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <snug/meta.hpp>

namespace snug::kernels {

/// Rotary position embedding of the heads of one row, in place (Su et al., arXiv 2104.09864), in the layout
/// of Llama's published weights: element i of a head is paired with element i + HeadWidth / 2.
/// `direction` +1 rotates by the position's angle, -1 back (the gradient).
template <index_t HeadWidth, class Statistic, class Team, class T>
constexpr void rotate(Team team, T* row, index_t heads, index_t position, double theta, Statistic direction) {
    constexpr index_t half = HeadWidth / 2;
    // A lane keeps the angles of its elements: they are the same in every head.
    constexpr index_t mine = (half + Team::lanes - 1) / Team::lanes;
    Statistic cosine[mine];
    Statistic sine[mine];
    for (index_t k = 0, i = team.lane(); i < half; ++k, i += Team::lanes) {
        double const angle = static_cast<double>(position) *
                             std::pow(theta, -2.0 * static_cast<double>(i) / static_cast<double>(HeadWidth));
        cosine[k] = static_cast<Statistic>(std::cos(angle));
        sine[k] = static_cast<Statistic>(std::sin(angle)) * direction;
    }
    for (index_t h = 0; h < heads; ++h) {
        T* const head = row + h * HeadWidth;
        for (index_t k = 0, i = team.lane(); i < half; ++k, i += Team::lanes) {
            auto const a = static_cast<Statistic>(head[i]);
            auto const b = static_cast<Statistic>(head[i + half]);
            head[i] = T(a * cosine[k] - b * sine[k]);
            head[i + half] = T(b * cosine[k] + a * sine[k]);
        }
    }
}

}  // namespace snug::kernels
