// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <bit>
#include <cmath>
#include <concepts>
#include <cstdint>
#include <numbers>
#include <snug/target.hpp>

/// Random numbers without a state: each is a function of (seed, stream, index), so element i is the same
/// whichever thread computes it, and a snapshot needs no generator state beside the seed and a counter.
/// `stream` keeps uses apart (one per tensor, one for sampling, ...).
namespace snug::SNUG_TARGET::random {

/// A bijection of 64 bits in which every input bit reaches every output bit (the finaliser of splitmix64;
/// Steele, Lea, Flood, "Fast Splittable Pseudorandom Number Generators", OOPSLA 2014; variant 13 of
/// Stafford).
constexpr std::uint64_t mix(std::uint64_t x) noexcept {
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

/// 64 random bits.
constexpr std::uint64_t bits(std::uint64_t seed, std::uint64_t stream, std::uint64_t index) noexcept {
    constexpr std::uint64_t golden = 0x9e3779b97f4a7c15u;
    auto const key = mix(mix(seed + golden) + (stream + 1) * golden);
    // The key enters twice: with one addition alone, two streams could be the same sequence, shifted.
    return mix(mix(key + index * golden) ^ std::rotl(key, 32));
}

/// Uniform on [0, 1): 24 bits for float, 53 for double.
template <std::floating_point T = float>
constexpr T uniform(std::uint64_t seed, std::uint64_t stream, std::uint64_t index) noexcept {
    auto const word = bits(seed, stream, index);
    if constexpr (sizeof(T) == 4) return static_cast<T>(word >> 40) * static_cast<T>(0x1p-24);
    else return static_cast<T>(word >> 11) * static_cast<T>(0x1p-53);
}

/// Normal with mean 0 and deviation 1 (Box and Muller, 1958). The tail ends at 6.6 for float, 8.5 for double.
template <std::floating_point T = float>
constexpr T normal(std::uint64_t seed, std::uint64_t stream, std::uint64_t index) noexcept {
    auto const word = bits(seed, stream, index);
    T radius = 0, turn = 0;  // radius on (0, 1], turn on [0, 1)
    if constexpr (sizeof(T) == 4) {
        radius = (static_cast<T>(word >> 32) + 1) * static_cast<T>(0x1p-32);
        turn = static_cast<T>((word & 0xffffffffu) >> 8) * static_cast<T>(0x1p-24);
    } else {
        radius = static_cast<T>((word >> 11) + 1) * static_cast<T>(0x1p-53);
        turn = static_cast<T>(mix(word + 1) >> 11) * static_cast<T>(0x1p-53);
    }
    return std::sqrt(-2 * std::log(radius)) * std::cos(2 * std::numbers::pi_v<T> * turn);
}

/// The image of `index` under a random permutation of [0, count) chosen by (seed, stream): a shuffled order
/// that takes no memory. A Feistel network over the next even number of bits, walked until it is back inside
/// the range (Black, Rogaway, "Ciphers with Arbitrary Finite Domains", CT-RSA 2002); fewer than 4 walks on
/// average. Needs 0 <= index < count.
constexpr std::uint64_t permuted(std::uint64_t seed, std::uint64_t stream, std::uint64_t index,
                                 std::uint64_t count) noexcept {
    if (count <= 1) return 0;
    auto const half = (static_cast<unsigned>(std::bit_width(count - 1)) + 1) / 2;
    auto const mask = (std::uint64_t{1} << half) - 1;
    auto const key = bits(seed, stream, count);
    do {
        auto left = index >> half, right = index & mask;
        for (std::uint64_t round = 0; round < 8; ++round) {
            auto const next = left ^ (bits(key, round, right) >> (64 - half));
            left = right;
            right = next;
        }
        index = left << half | right;
    } while (index >= count);
    return index;
}

}  // namespace snug::SNUG_TARGET::random
