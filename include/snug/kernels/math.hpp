// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <bit>
#include <cmath>
#include <concepts>
#include <cstdint>
#include <snug/target.hpp>

/// Elementary functions as plain arithmetic: a loop over them vectorises on every compiler, and the same
/// bits come out at any vector width.
namespace snug::SNUG_TARGET::kernels {

/// eˣ. For float within 2 units in the last place on [-87, 88]; below it gives the smallest normal number,
/// above it a number near the largest: no infinities arise. NaN stays NaN.
constexpr float exponential(float x) {
    float const clamped = x < -87.0f ? -87.0f : (x > 88.0f ? 88.0f : x);
    // x = n ln 2 + r with |r| <= ln 2 / 2; adding 1.5 * 2^23 rounds to an integer without a branch.
    constexpr float rounder = 12582912.0f;
    float const shifted = clamped * 1.44269504f + rounder;
    float const n = shifted - rounder;
    float const r = (clamped - n * 0.693359375f) - n * -2.12194440e-4f;
    float power = 1.0f / 5040;
    power = power * r + 1.0f / 720;
    power = power * r + 1.0f / 120;
    power = power * r + 1.0f / 24;
    power = power * r + 1.0f / 6;
    power = power * r + 0.5f;
    power = power * r + 1.0f;
    power = power * r + 1.0f;
    auto const exponent = std::bit_cast<std::int32_t>(shifted) - std::bit_cast<std::int32_t>(rounder);
    return power * std::bit_cast<float>((exponent + 127) << 23);
}

template <std::same_as<double> T>
constexpr T exponential(T x) {
    return std::exp(x);
}

/// A computed value in the type it is stored in; formats narrower than fp32 convert from float.
template <class T, std::floating_point S>
constexpr T stored_as(S value) {
    if constexpr (std::floating_point<T>) return static_cast<T>(value);
    else return static_cast<T>(static_cast<float>(value));
}

/// tanh x, from one exponential; exact at both ends.
template <std::floating_point T>
constexpr T hyperbolic_tangent(T x) {
    return T(1) - T(2) / (exponential(T(2) * x) + T(1));
}

/// 1 / (1 + e⁻ˣ).
template <std::floating_point T>
constexpr T logistic(T x) {
    return T(1) / (T(1) + exponential(-x));
}

}  // namespace snug::SNUG_TARGET::kernels
