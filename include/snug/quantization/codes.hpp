// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <concepts>
#include <cstdint>
#include <snug/meta.hpp>
#include <snug/precision/number_format.hpp>
#include <snug/quantization/codebook.hpp>
#include <snug/quantization/expand.hpp>
#include <snug/quantization/nearest.hpp>

namespace snug::SNUG_TARGET::quantization {

/// What is stored of a block beside its codes.
struct block_parameters {
    float scale = 0;
    std::uint8_t zero = 0;  ///< the code of 0, where codes are shifted
};

/// How the numbers of one block become codes, and back. `measure` looks at the block's extremes, `encode` writes one
/// code in a byte, `decode` reads elements [first, first + count) of packed codes that all belong to one block. A block
/// is `partial` when the array ends inside it.
template <class C>
concept block_code = requires(detail::extremes found, bool partial, float const* x, index_t n,
                              block_parameters p, std::uint8_t* codes, std::uint8_t const* packed,
                              float* floats, bf16* halves) {
    { C::bits } -> std::convertible_to<int>;
    { C::has_zero } -> std::convertible_to<bool>;
    { C::code_of_zero } -> std::convertible_to<int>;
    { C::measure(found, partial) } -> std::same_as<block_parameters>;
    C::encode(x, n, p, partial, codes);
    C::decode(packed, n, n, p, floats);
    C::decode(packed, n, n, p, halves);
}
&&(C::bits == 4 || C::bits == 8);

/// Whose arithmetic is followed to the bit where several are in use.
namespace dialects {

/// bitsandbytes' `default` backend (CPU tensors, version 0.50): a block is multiplied by the reciprocal of its largest
/// magnitude, but the partial last block is divided by it; magnitudes below 1e-38 count as 1e-38, and that is what the
/// partial block stores. Midpoints decide. Its CUDA kernels multiply everywhere and take 0.583333 for FP4's midpoint
/// 7/12, so in a partial block and in that gap their codes may be others. Its compiled kernel for 8-bit codes of CPU
/// tensors looks numbers up in steps of 2/65536 and misses the nearest code for 1 in 1000: not followed.
struct bitsandbytes {
    static constexpr float least_scale = 1e-38f;

    static constexpr float stored_scale(float absmax, bool partial) {
        return partial ? std::max(absmax, least_scale) : absmax;
    }
    static void scale_down(float const* x, index_t count, float scale, bool partial, float* y) {
        float const divisor = std::max(scale, least_scale);
        float const reciprocal = 1.0f / divisor;
        if (partial)
            for (index_t i = 0; i < count; ++i) y[i] = x[i] / divisor;
        else
            for (index_t i = 0; i < count; ++i) y[i] = x[i] * reciprocal;
        for (index_t i = 0; i < count; ++i) y[i] = std::min(std::max(y[i], -1.0f), 1.0f);
    }
    template <codebook Codebook>
    static void nearest(float const* y, index_t count, std::uint8_t* codes) {
        detail::nearest_by_midpoint<Codebook>(y, count, codes);
    }
};

/// torchao's NF4 (version 0.18) on fp32 tensors: every block is divided, the smallest difference decides. A block of
/// zeros, for which torchao computes 0/0 and stores the code of -1, gets the code of 0 here.
struct torchao {
    static constexpr float stored_scale(float absmax, bool) { return absmax; }
    static void scale_down(float const* x, index_t count, float scale, bool, float* y) {
        float const divisor = scale > 0 ? scale : 1.0f;
        for (index_t i = 0; i < count; ++i) y[i] = x[i] / divisor;
    }
    template <codebook Codebook>
    static void nearest(float const* y, index_t count, std::uint8_t* codes) {
        detail::nearest_by_difference<Codebook>(y, count, codes);
    }
};

}  // namespace dialects

/// A number is the largest magnitude of its block times an entry of a codebook.
template <codebook Codebook, class Dialect = dialects::bitsandbytes>
struct table_code {
    using table = Codebook;
    using dialect = Dialect;
    static constexpr int bits = Codebook::bits;
    static constexpr bool has_zero = false;
    static constexpr int code_of_zero = [] {
        int rank = 0;
        for (float const midpoint : detail::midpoints<Codebook>) rank += midpoint < 0;
        return detail::order<Codebook>[static_cast<std::size_t>(rank)];
    }();

    static constexpr block_parameters measure(detail::extremes found, bool partial) {
        return {Dialect::stored_scale(found.absmax(), partial)};
    }
    static void encode(float const* x, index_t count, block_parameters block, bool partial,
                       std::uint8_t* codes) {
        for (index_t at = 0; at < count; at += detail::strip) {
            index_t const here = std::min(detail::strip, count - at);
            float y[detail::strip];
            Dialect::scale_down(x + at, here, block.scale, partial, y);
            Dialect::template nearest<Codebook>(y, here, codes + at);
        }
    }
    template <class T>
    static void decode(std::uint8_t const* codes, index_t first, index_t count, block_parameters block,
                       T* out) {
        if constexpr (bits == 4)
            detail::expand4(codes, first, count, Codebook::values.data(), block.scale, out);
        else detail::expand8_constant<Codebook::values>(codes, first, count, block.scale, out);
    }
};

namespace detail {

/// Steps smaller than this are not resolved, so that no reciprocal is infinite.
inline constexpr float least_step = 1e-38f;

/// 0 .. 15 less the code of zero, as numbers.
constexpr std::array<float, 16> shifted16(int zero) {
    std::array<float, 16> values{};
    for (int c = 0; c < 16; ++c) values[static_cast<std::size_t>(c)] = static_cast<float>(c - zero);
    return values;
}

/// code = round(x / step) + zero, halfway to even, clamped to [lowest, highest].
inline void to_steps(float const* x, index_t count, float step, int zero, int lowest, int highest,
                     std::uint8_t* codes) {
    float const reciprocal = 1.0f / std::max(step, least_step);
    auto const low = static_cast<float>(lowest - zero);
    auto const high = static_cast<float>(highest - zero);
    for (index_t i = 0; i < count; ++i) {
        float const steps = std::min(std::max(std::rint(x[i] * reciprocal), low), high);
        codes[i] = static_cast<std::uint8_t>(static_cast<int>(steps) + zero);
    }
}

template <int Bits, class T>
inline void from_steps(std::uint8_t const* codes, index_t first, index_t count, float step, int zero,
                       T* out) {
    if constexpr (Bits == 4) {
        auto const table = shifted16(zero);
        expand4(codes, first, count, table.data(), step, out);
    } else {
        expand8_linear(codes, first, count, zero, step, out);
    }
}

}  // namespace detail

/// Evenly spaced codes from minus to plus the largest magnitude; 0 in the middle is exact, the lowest code is never
/// used, so that both signs are alike.
template <int Bits>
struct symmetric_code {
    static constexpr int bits = Bits;
    static constexpr bool has_zero = false;
    static constexpr int code_of_zero = 1 << (Bits - 1);
    static constexpr int steps = code_of_zero - 1;  ///< from 0 to the largest magnitude

    static constexpr block_parameters measure(detail::extremes found, bool) {
        return {found.absmax() / static_cast<float>(steps)};
    }
    static void encode(float const* x, index_t count, block_parameters block, bool, std::uint8_t* codes) {
        detail::to_steps(x, count, block.scale, code_of_zero, 1, 2 * steps + 1, codes);
    }
    template <class T>
    static void decode(std::uint8_t const* codes, index_t first, index_t count, block_parameters block,
                       T* out) {
        detail::from_steps<Bits>(codes, first, count, block.scale, code_of_zero, out);
    }
};

/// Evenly spaced codes from the lowest to the highest number, widened to hold 0, which is exact: its code is stored as
/// the zero point.
template <int Bits>
struct affine_code {
    static constexpr int bits = Bits;
    static constexpr bool has_zero = true;
    static constexpr int code_of_zero = 0;
    static constexpr int highest = (1 << Bits) - 1;

    static block_parameters measure(detail::extremes found, bool) {
        constexpr auto steps = static_cast<float>(highest);
        // Two quotients: the difference of the largest fp32 and its negative would overflow.
        float const step = found.high / steps - found.low / steps;
        float const zero = std::rint(-found.low / std::max(step, detail::least_step));
        return {step, static_cast<std::uint8_t>(std::min(zero, steps))};
    }
    static void encode(float const* x, index_t count, block_parameters block, bool, std::uint8_t* codes) {
        detail::to_steps(x, count, block.scale, block.zero, 0, highest, codes);
    }
    template <class T>
    static void decode(std::uint8_t const* codes, index_t first, index_t count, block_parameters block,
                       T* out) {
        detail::from_steps<Bits>(codes, first, count, block.scale, block.zero, out);
    }
};

/// Evenly spaced codes over the whole range of the number format `Format`, whatever the data.
template <class Format, int Bits>
    requires number_format<Format>
struct range_code {
    static constexpr int bits = Bits;
    static constexpr bool has_zero = false;
    static constexpr int code_of_zero = 1 << (Bits - 1);
    static constexpr auto step =
        static_cast<float>(number_traits<Format>::largest / static_cast<double>(code_of_zero - 1));

    static constexpr block_parameters measure(detail::extremes, bool) { return {step}; }
    static void encode(float const* x, index_t count, block_parameters, bool, std::uint8_t* codes) {
        detail::to_steps(x, count, step, code_of_zero, 1, 2 * code_of_zero - 1, codes);
    }
    template <class T>
    static void decode(std::uint8_t const* codes, index_t first, index_t count, block_parameters, T* out) {
        detail::from_steps<Bits>(codes, first, count, step, code_of_zero, out);
    }
};

}  // namespace snug::SNUG_TARGET::quantization
