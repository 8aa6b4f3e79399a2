// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <ratio>
#include <snug/meta.hpp>
#include <snug/random.hpp>

/// Initial values of parameters. An initialiser is a struct with `value(seed, stream, i)`: element i of the tensor
/// that `stream` numbers. Stateless, so that the values do not depend on threads or on the order of tensors.
namespace snug::SNUG_TARGET::initial {

struct zeros {
    static constexpr double value(std::uint64_t, std::uint64_t, std::uint64_t) { return 0.0; }
};

struct ones {
    static constexpr double value(std::uint64_t, std::uint64_t, std::uint64_t) { return 1.0; }
};

/// Normal with standard deviation Deviation / √Divisor (Divisor: 2 · layers for projections onto a residual stream,
/// Radford et al., "Language Models are Unsupervised Multitask Learners", section 2.3).
template <class Deviation, index_t Divisor = 1>
struct normal {
    static constexpr double value(std::uint64_t seed, std::uint64_t stream, std::uint64_t i) {
        double const deviation = static_cast<double>(Deviation::num) / static_cast<double>(Deviation::den);
        return deviation / std::sqrt(static_cast<double>(Divisor)) *
               static_cast<double>(random::normal(seed, stream, i));
    }
};

/// Uniform between ±1/√Inputs: Kaiming's with a = √5 (He et al., arXiv 1502.01852), for the A of LoRA.
template <index_t Inputs>
struct uniform {
    static constexpr double value(std::uint64_t seed, std::uint64_t stream, std::uint64_t i) {
        return (2 * static_cast<double>(random::uniform(seed, stream, i)) - 1) /
               std::sqrt(static_cast<double>(Inputs));
    }
};

}  // namespace snug::SNUG_TARGET::initial
