// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <snug/meta.hpp>
#include <snug/quantization/scheme.hpp>
#include <span>

namespace snug::SNUG_TARGET::quantization {

/// How well a scheme spends its codes on some numbers.
struct waste {
    int codes = 0;                  ///< that the scheme has
    int used = 0;                   ///< that occur
    double entropy = 0;             ///< bits of information in a code; at most log2(codes)
    double mean_squared_error = 0;  ///< of the decoded numbers
    double largest_error = 0;       ///< magnitude
    double signal_to_noise =
        0;  ///< decibels: 10 log10(mean square / mean squared error); infinite without error
    std::array<index_t, 256> counts{};  ///< numbers per code
};

/// Compares numbers with what became of them: codes from `Scheme::codes`, and the decoded numbers.
template <coded_scheme Scheme>
waste measure_waste(std::span<float const> values, typename Scheme::view const& stored) {
    waste result;
    result.codes = Scheme::code_count;
    double power = 0;
    constexpr index_t piece = 1024;
    auto const count = static_cast<index_t>(values.size());
    for (index_t first = 0; first < count; first += piece) {
        index_t const here = std::min(piece, count - first);
        float decoded[piece];
        std::uint8_t codes[piece];
        Scheme::decode(stored, first, here, decoded);
        Scheme::codes(stored, first, here, codes);
        for (index_t i = 0; i < here; ++i) {
            double const value = values[static_cast<std::size_t>(first + i)];
            double const error = double{decoded[i]} - value;
            power += value * value;
            result.mean_squared_error += error * error;
            result.largest_error = std::max(result.largest_error, std::fabs(error));
            ++result.counts[codes[i]];
        }
    }
    if (count == 0) return result;
    result.signal_to_noise = 10 * std::log10(power / result.mean_squared_error);
    result.mean_squared_error /= static_cast<double>(count);
    for (index_t const n : result.counts) {
        if (n == 0) continue;
        double const share = static_cast<double>(n) / static_cast<double>(count);
        ++result.used;
        result.entropy -= share * std::log2(share);
    }
    return result;
}

}  // namespace snug::SNUG_TARGET::quantization
