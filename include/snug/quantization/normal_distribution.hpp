// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <bit>
#include <cstdint>
#include <snug/target.hpp>

/// The standard normal distribution at compile time, in double: what the standard library cannot do there.
namespace snug::SNUG_TARGET::quantization::normal {

namespace detail {

inline constexpr double ln2 = 0.693147180559945309417232;
inline constexpr double root_half = 0.707106781186547524400844;
inline constexpr double root_two_pi = 2.506628274631000502415765;
inline constexpr double two_over_root_pi = 1.128379167095512573896159;

/// eˣ for -708 < x < 708.
constexpr double exponential(double x) {
    auto const n = static_cast<std::int64_t>(x / ln2 + (x < 0 ? -0.5 : 0.5));
    // ln 2 in two parts, the first short enough that its product with n is exact.
    double const r = (x - static_cast<double>(n) * 0.693147180369123816490) -
                     static_cast<double>(n) * 1.90821492927058770002e-10;
    double sum = 1;
    for (int i = 18; i > 0; --i) sum = 1 + sum * r / i;
    return sum * std::bit_cast<double>((n + 1023) << 52);
}

/// ln x for normal x > 0.
constexpr double logarithm(double x) {
    auto const pattern = std::bit_cast<std::int64_t>(x);
    auto exponent = static_cast<double>((pattern >> 52) - 1023);
    auto mantissa = std::bit_cast<double>((pattern & 0xFFFFFFFFFFFFF) | 0x3FF0000000000000);
    if (mantissa > 1.4) mantissa /= 2, exponent += 1;
    double const ratio = (mantissa - 1) / (mantissa + 1);
    double sum = 0;
    for (int i = 33; i > 0; i -= 2) sum = sum * ratio * ratio + 1.0 / i;
    return exponent * ln2 + 2 * ratio * sum;
}

/// erf z for |z| < 2, to a few units in the last place of the result, near 0 too: a series of positive terms.
constexpr double error_function(double z) {
    double term = 1;
    double sum = 1;
    for (int i = 1; i < 60; ++i) {
        term *= 2 * z * z / (2 * i + 1);
        sum += term;
    }
    return two_over_root_pi * z * exponential(-z * z) * sum;
}

/// The upper tail's ratio of probability to density at x > 1.7, by Laplace's continued fraction.
constexpr double tail_over_density(double x) {
    double fraction = x;
    for (int i = 120; i > 0; --i) fraction = x + i / fraction;
    return 1 / fraction;
}

constexpr double log_density(double x) { return -x * x / 2 - logarithm(root_two_pi); }

}  // namespace detail

/// The density at x, |x| < 37.
constexpr double density(double x) { return detail::exponential(-x * x / 2) / detail::root_two_pi; }

/// The x below which a standard normal variable falls with probability p, 1e-300 < p < 1, to about 1e-15 relative:
/// Halley's iteration on the distribution, from the middle or, in the tails, on its logarithm.
constexpr double quantile(double p) {
    double const from_middle = p - 0.5;
    if (from_middle > -0.455 && from_middle < 0.455) {
        double x = from_middle * detail::root_two_pi;
        for (int i = 0; i < 8; ++i) {
            double const step =
                (detail::error_function(x * detail::root_half) / 2 - from_middle) / density(x);
            x -= step / (1 + x * step / 2);
        }
        return x;
    }
    double const tail = p < 0.5 ? p : 1 - p;
    double const wanted = detail::logarithm(tail);
    double x = 2;
    for (int i = 0; i < 30; ++i)
        x = (x - 2 * wanted / x) / 2;  // the square root of -2 ln p, right of the quantile
    for (int i = 0; i < 12; ++i) {
        double const ratio = detail::tail_over_density(x);
        x += (detail::log_density(x) + detail::logarithm(ratio) - wanted) * ratio;
    }
    return p < 0.5 ? -x : x;
}

}  // namespace snug::SNUG_TARGET::quantization::normal
