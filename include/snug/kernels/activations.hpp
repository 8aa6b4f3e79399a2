// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <snug/kernels/math.hpp>

namespace snug::SNUG_TARGET::kernels {

/// GELU in the tanh form that GPT-2 was trained with (Hendrycks and Gimpel, arXiv 1606.08415):
/// x/2 (1 + tanh(√(2/π) (x + 0.044715 x³))).
template <std::floating_point T>
constexpr T gelu(T x) {
    T const inner = T(0.7978845608028654) * (x + T(0.044715) * x * x * x);
    return T(0.5) * x * (T(1) + hyperbolic_tangent(inner));
}

template <std::floating_point T>
constexpr T gelu_derivative(T x) {
    T const inner = T(0.7978845608028654) * (x + T(0.044715) * x * x * x);
    T const tangent = hyperbolic_tangent(inner);
    T const inner_derivative = T(0.7978845608028654) * (T(1) + T(3 * 0.044715) * x * x);
    return T(0.5) * (T(1) + tangent) + T(0.5) * x * (T(1) - tangent * tangent) * inner_derivative;
}

/// GELU as the function of an elementwise layer.
struct gelu_function {
    template <class S>
    static constexpr S value(S x) {
        return gelu(x);
    }
    template <class S>
    static constexpr S derivative(S x) {
        return gelu_derivative(x);
    }
};

/// SiLU, x · logistic(x).
template <std::floating_point T>
constexpr T silu(T x) {
    return x * logistic(x);
}

template <std::floating_point T>
constexpr T silu_derivative(T x) {
    T const gate = logistic(x);
    return gate * (T(1) + x * (T(1) - gate));
}

/// SiLU as the function of a gated layer.
struct silu_function {
    template <class S>
    static constexpr S value(S x) {
        return silu(x);
    }
    template <class S>
    static constexpr S derivative(S x) {
        return silu_derivative(x);
    }
};

}  // namespace snug::SNUG_TARGET::kernels
