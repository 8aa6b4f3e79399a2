// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <numbers>
#include <snug/meta.hpp>

namespace snug::SNUG_TARGET {

/// Rotary frequencies: the angle per position of each pair of a head's elements.
namespace rope {

/// How frequencies are scaled, as values.
struct scaling {
    double factor = 1;  ///< 1: not at all
    double low_frequency_factor =
        0;  ///< turns within the original context, below which a frequency is divided
    double high_frequency_factor = 0;  ///< and above which it is left as it is; both of Llama 3's rule only
    double original_context =
        0;  ///< positions that the model was first trained with; 0: all frequencies are divided

    /// A frequency in radians per position, scaled. By Llama 3's rule a pair that turns slowly within the original context
    /// is divided by the factor, one that turns fast is not, and between them is interpolated, linearly in the turns:
    /// this acts at every position, not beyond the original context only (the reference is transformers' "llama3").
    constexpr double scaled(double frequency) const {
        if (original_context == 0) return frequency / factor;
        auto const turns = original_context * frequency / (2 * std::numbers::pi);
        if (turns > high_frequency_factor) return frequency;
        if (turns < low_frequency_factor) return frequency / factor;
        auto const kept = (turns - low_frequency_factor) / (high_frequency_factor - low_frequency_factor);
        return (1 - kept) * frequency / factor + kept * frequency;
    }

    friend constexpr bool operator==(scaling const&, scaling const&) = default;
};

/// Frequencies as they are.
struct plain {
    static constexpr scaling numbers() { return {}; }
};

/// All divided by `Factor`: positions are as if they were closer together.
template <index_t Factor>
struct linear {
    static_assert(Factor > 0, "snug: rotary frequencies are divided by a factor of at least 1");
    static constexpr scaling numbers() { return {.factor = static_cast<double>(Factor)}; }
};

/// Llama 3.1's rule (factor 8) and Llama 3.2's (factor 32), by the names of their `config.json`: `factor`,
/// `low_freq_factor`, `high_freq_factor`, `original_max_position_embeddings`.
template <index_t Factor, index_t LowFrequencyFactor = 1, index_t HighFrequencyFactor = 4,
          index_t OriginalContext = 8192>
struct llama3 {
    static_assert(Factor > 0 && LowFrequencyFactor > 0 && HighFrequencyFactor > LowFrequencyFactor &&
                      OriginalContext > 0,
                  "snug: Llama 3's rotary frequencies need positive numbers, and a high frequency factor "
                  "above the low one");
    static constexpr scaling numbers() {
        return {.factor = static_cast<double>(Factor),
                .low_frequency_factor = static_cast<double>(LowFrequencyFactor),
                .high_frequency_factor = static_cast<double>(HighFrequencyFactor),
                .original_context = static_cast<double>(OriginalContext)};
    }
};

/// The frequency of pair `i` of a head, before it is scaled.
template <class Real>
constexpr Real frequency(Real theta, index_t i, index_t head_width) {
    return std::pow(theta, Real(-2) * static_cast<Real>(i) / static_cast<Real>(head_width));
}

}  // namespace rope

namespace kernels {

/// Rotary position embedding of the heads of one row, in place (Su et al., arXiv 2104.09864), in the layout
/// of Llama's published weights: element i of a head is paired with element i + HeadWidth / 2.
/// `direction` +1 rotates by the position's angle, -1 back (the gradient).
template <index_t HeadWidth, class Statistic, class Team, class T>
constexpr void rotate(Team team, T* row, index_t heads, index_t position, double theta, rope::scaling scaling,
                      Statistic direction) {
    constexpr index_t half = HeadWidth / 2;
    // A lane keeps the angles of its elements: they are the same in every head.
    constexpr index_t mine = (half + Team::lanes - 1) / Team::lanes;
    Statistic cosine[mine];
    Statistic sine[mine];
    for (index_t k = 0, i = team.lane(); i < half; ++k, i += Team::lanes) {
        double const angle =
            static_cast<double>(position) * scaling.scaled(rope::frequency(theta, i, HeadWidth));
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

}  // namespace kernels
}  // namespace snug::SNUG_TARGET
