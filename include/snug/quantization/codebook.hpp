// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <snug/meta.hpp>
#include <snug/quantization/normal_distribution.hpp>

namespace snug::SNUG_TARGET::quantization {

/// A table of numbers between -1 and 1, by code: what a code means before it is multiplied by the scale of its block.
/// A user's own codebook is a struct with these two members.
template <class C>
concept codebook = requires {
    { C::bits } -> std::convertible_to<int>;
    { C::values[0] } -> std::convertible_to<float>;
}
&&(C::bits == 4 || C::bits == 8) && C::values.size() == std::size_t{1} << C::bits;

namespace codebooks {

namespace detail {

/// Point i of `count` evenly spaced ones from first to last as fp32 arithmetic makes them: each half counted from its
/// own end, product and sum rounded once.
constexpr float evenly_spaced(float first, float last, int count, int i) {
    float const step = (last - first) / static_cast<float>(count - 1);
    return i < count / 2 ? static_cast<float>(double{first} + double{step} * i)
                         : static_cast<float>(double{last} - double{step} * (count - 1 - i));
}

/// NF4 by its construction, in the arithmetic of T: 7 negative and 8 positive quantiles of the standard normal
/// distribution, evenly spaced in probability between 1/2 and `offset`, and a zero; divided by the largest.
template <class T, class Spaced>
constexpr std::array<T, 16> normal_float(Spaced spaced) {
    std::array<T, 16> values{};
    for (std::size_t i = 0; i < 7; ++i)
        values[i] = -static_cast<T>(normal::quantile(double{spaced(8, static_cast<int>(i))}));
    for (std::size_t i = 0; i < 8; ++i)
        values[15 - i] = static_cast<T>(normal::quantile(double{spaced(9, static_cast<int>(i))}));
    T const largest = values[15];
    for (auto& value : values) value /= largest;
    return values;
}

constexpr double halfway(double a, double b) { return (a + b) / 2; }

/// The dynamic map: of `Bits` - 1 decades up to 1 the i-th has 2^i numbers (unsigned: 2^(i+1)), so of 8 bits between
/// 10^(i-7) and 10^(i-6).
template <int Bits>
constexpr std::array<float, std::size_t{1} << Bits> dynamic_map(bool is_signed) {
    constexpr float powers[] = {1e-6f, 1e-5f, 1e-4f, 1e-3f, 1e-2f, 1e-1f, 1.0f};
    constexpr int decades = Bits - 1;
    std::array<float, std::size_t{1} << Bits> values{};
    std::size_t used = 0;
    for (int i = 0; i < decades; ++i) {
        int const fractions = is_signed ? 1 << i : 2 << i;
        for (int j = 0; j < fractions; ++j) {
            float const low = evenly_spaced(0.1f, 1, fractions + 1, j);
            float const high = evenly_spaced(0.1f, 1, fractions + 1, j + 1);
            float const value = powers[i + 7 - decades] * ((low + high) / 2);
            values[used++] = value;
            if (is_signed) values[used++] = -value;
        }
    }
    values[used++] = 0;
    values[used] = 1;
    std::sort(values.begin(), values.end());
    return values;
}

}  // namespace detail

/// 4-bit NormalFloat (Dettmers et al., "QLoRA", arXiv 2305.14314) to the bit as bitsandbytes publishes it, because it
/// is computed in the same fp32 steps. In ascending order; code 7 is exactly 0.
struct nf4 {
    static constexpr int bits = 4;
    static constexpr std::array<float, 16> values = detail::normal_float<float>(
        [](int count, int i) { return detail::evenly_spaced(0.9677083f, 0.5f, count, i); });
};

/// NF4 with four digits after the point, as torchao has it (for fp32 tensors).
struct nf4_four_digits {
    static constexpr int bits = 4;
    static constexpr std::array<float, 16> values = [] {
        auto rounded = nf4::values;
        for (auto& value : rounded) {
            auto const units = static_cast<int>(double{value} * 10000 + (value < 0 ? -0.5 : 0.5));
            value = static_cast<float>(units / 10000.0);
        }
        return rounded;
    }();
};

/// What bitsandbytes calls FP4: see `snug::fp4_code`. Codes 0 and 8 are both 0.
struct fp4 {
    static constexpr int bits = 4;
    static constexpr std::array<float, 16> values = [] {
        constexpr float twelfths[] = {0, 0.0625f, 8, 12, 4, 6, 2, 3};
        std::array<float, 16> result{};
        for (std::size_t i = 0; i < 8; ++i) {
            result[i] = twelfths[i] / 12;
            result[i + 8] = 0 - twelfths[i] / 12;
        }
        return result;
    }();
};

/// The signed 8-bit dynamic map (Dettmers, "8-bit Approximations for Parallelism in Deep Learning", arXiv 1511.04561),
/// to the bit as bitsandbytes makes it on processors with fused multiply-add: -0.99297 to 1, smallest 5.5e-7.
struct dynamic_signed {
    static constexpr int bits = 8;
    static constexpr std::array<float, 256> values = detail::dynamic_map<8>(true);
};

/// The unsigned one: 0 to 1, smallest 3.25e-7.
struct dynamic_unsigned {
    static constexpr int bits = 8;
    static constexpr std::array<float, 256> values = detail::dynamic_map<8>(false);
};

/// The signed dynamic map of 4 bits: -0.8875 to 1, smallest 0.0055.
struct dynamic_signed_4bit {
    static constexpr int bits = 4;
    static constexpr std::array<float, 16> values = detail::dynamic_map<4>(true);
};

/// 1/16, 2/16, ..., 1, without a zero, by which an update would be divided (Li et al., arXiv 2309.01507, section 4.1).
struct unsigned_linear_4bit {
    static constexpr int bits = 4;
    static constexpr std::array<float, 16> values = [] {
        std::array<float, 16> result{};
        for (std::size_t i = 0; i < 16; ++i) result[i] = static_cast<float>(i + 1) / 16;
        return result;
    }();
};

/// Evenly spaced: code c means (c - 2^(bits - 1)) / (2^(bits - 1) - 1); code 0 is never chosen.
template <int Bits>
struct linear {
    static constexpr int bits = Bits;
    static constexpr std::array<float, std::size_t{1} << Bits> values = [] {
        std::array<float, std::size_t{1} << Bits> result{};
        constexpr int middle = 1 << (Bits - 1);
        for (int c = 0; c < 2 * middle; ++c)
            result[static_cast<std::size_t>(c)] =
                static_cast<float>(c - middle) / static_cast<float>(middle - 1);
        return result;
    }();
};

}  // namespace codebooks

namespace detail {

/// Codes of a table in order of value, equal values in order of code.
template <std::size_t N>
constexpr std::array<std::uint8_t, N> order_of(std::array<float, N> const& values) {
    std::array<std::uint8_t, N> order{};
    for (std::size_t i = 0; i < N; ++i) order[i] = static_cast<std::uint8_t>(i);
    std::sort(order.begin(), order.end(), [&](std::uint8_t a, std::uint8_t b) {
        return values[a] < values[b] || (values[a] == values[b] && a < b);
    });
    return order;
}

/// The fp32 midpoints between neighbours of a table: a number has as many midpoints below it as codes.
template <std::size_t N>
constexpr std::array<float, N - 1> midpoints_of(std::array<float, N> const& values) {
    auto const order = order_of(values);
    std::array<float, N - 1> midpoints{};
    for (std::size_t i = 0; i + 1 < N; ++i) midpoints[i] = (values[order[i]] + values[order[i + 1]]) / 2;
    return midpoints;
}

template <codebook Codebook>
inline constexpr auto order = order_of(Codebook::values);
template <codebook Codebook>
inline constexpr auto midpoints = midpoints_of(Codebook::values);
template <codebook Codebook>
inline constexpr bool is_ascending = std::is_sorted(Codebook::values.begin(), Codebook::values.end());

}  // namespace detail

}  // namespace snug::SNUG_TARGET::quantization
