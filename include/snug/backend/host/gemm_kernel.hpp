// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

#if defined(__AVX512BF16__)
#include <immintrin.h>
#endif

#include <snug/precision/bf16.hpp>

namespace snug::SNUG_TARGET::backend::host::detail {

// The micro-kernel keeps kernel_rows x (2 vectors) accumulators in registers, so that the loads of one step hide behind
// its multiplications: 24 of the 32 registers of AVX-512, 12 of 16 otherwise.
#if defined(__AVX512F__)
inline constexpr int vector_bytes = 64;
inline constexpr int kernel_rows = 12;
#elif defined(__AVX__)
inline constexpr int vector_bytes = 32;
inline constexpr int kernel_rows = 6;
#else
inline constexpr int vector_bytes = 16;
inline constexpr int kernel_rows = 6;
#endif

template <class T>
struct vector_of {
    static constexpr int lanes = vector_bytes / static_cast<int>(sizeof(T));
    typedef T type __attribute__((vector_size(vector_bytes)));
};

/// How a product is computed. A *unit* is what one multiply-add takes from each operand: `depth` consecutive k.
template <class T>
struct plain_arithmetic {
    using unit = T;
    using accumulator = T;
    static constexpr int depth = 1;

    using vector = typename vector_of<T>::type;

    [[gnu::always_inline]] static inline void multiply_add(vector& sum, unit const& a, vector const& b) {
        sum += a * b;
    }
};

#if defined(__AVX512BF16__)
struct bf16_pair_arithmetic {
    using unit = std::uint32_t;
    using accumulator = float;
    static constexpr int depth = 2;

    using vector = vector_of<float>::type;

    [[gnu::always_inline]] static inline void multiply_add(vector& sum, unit const& a, vector const& b) {
        sum = (vector)_mm512_dpbf16_ps((__m512)sum, (__m512bh)_mm512_set1_epi32(static_cast<int>(a)),
                                       (__m512bh)b);
    }
};
using bf16_arithmetic = bf16_pair_arithmetic;
#else
using bf16_arithmetic = plain_arithmetic<float>;
#endif

template <class A, class B>
using arithmetic_for =
    std::conditional_t<std::is_same_v<A, double> || std::is_same_v<B, double>, plain_arithmetic<double>,
                       std::conditional_t<std::is_same_v<A, bf16> && std::is_same_v<B, bf16>, bf16_arithmetic,
                                          plain_arithmetic<float>>>;

template <class Arithmetic>
inline constexpr int unit_lanes = vector_of<typename Arithmetic::unit>::lanes;

/// Columns of one packed panel of B.
template <class Arithmetic>
inline constexpr int panel_columns = 2 * unit_lanes<Arithmetic>;

/// Rows of A as the micro-kernel reads them: groups of `kernel_rows` rows are `group_bytes` apart.
struct left_block {
    std::byte const* data;
    std::int64_t group_bytes;
    std::int64_t row_bytes;
    std::int64_t unit_bytes;
};

/// C[Rows x panel_columns] = or += A * (one packed panel of B) over `units` >= 1 units of k. Every element is one chain
/// of multiply-adds in the order of k, whatever `Rows` is; that is why a row has the same bits alone and in a batch.
template <class Arithmetic, int Rows>
[[gnu::noinline]] void multiply_rows(std::int64_t units, std::byte const* a, std::int64_t a_row,
                                     std::int64_t a_unit, typename Arithmetic::unit const* b,
                                     typename Arithmetic::accumulator* c, std::int64_t c_row,
                                     bool accumulate) {
    using vector = typename Arithmetic::vector;
    using unit = typename Arithmetic::unit;
    vector sum[Rows][2];
#pragma GCC unroll 12
    for (int i = 0; i < Rows; ++i) {
        sum[i][0] = vector{};
        sum[i][1] = vector{};
    }
    // Two base pointers share the multiples of a_row, so that all addresses fit into general-purpose registers; the
    // compiler must not see that one is computed from the other.
    constexpr int half = Rows / 2;
    std::byte const* a_half = a + half * a_row;
    asm("" : "+r"(a_half));
    do {
        vector b0;
        vector b1;
        std::memcpy(&b0, b, sizeof(vector));
        std::memcpy(&b1, b + unit_lanes<Arithmetic>, sizeof(vector));
#pragma GCC unroll 12
        for (int i = 0; i < Rows; ++i) {
            unit x;
            std::memcpy(&x, i < half ? a + i * a_row : a_half + (i - half) * a_row, sizeof(unit));
            Arithmetic::multiply_add(sum[i][0], x, b0);
            Arithmetic::multiply_add(sum[i][1], x, b1);
        }
        a += a_unit;
        a_half += a_unit;
        b += panel_columns<Arithmetic>;
    } while (--units > 0);
#pragma GCC unroll 12
    for (int i = 0; i < Rows; ++i) {
#pragma GCC unroll 2
        for (int j = 0; j < 2; ++j) {
            auto* const target = c + i * c_row + j * unit_lanes<Arithmetic>;
            if (accumulate) {
                vector previous;
                std::memcpy(&previous, target, sizeof(vector));
                sum[i][j] += previous;
            }
            std::memcpy(target, &sum[i][j], sizeof(vector));
        }
    }
}

template <class Arithmetic, int Rows>
void multiply_remaining_rows(std::int64_t rows, std::int64_t units, std::byte const* a, std::int64_t a_row,
                             std::int64_t a_unit, typename Arithmetic::unit const* b,
                             typename Arithmetic::accumulator* c, std::int64_t c_row, bool accumulate) {
    if (rows >= Rows) {
        multiply_rows<Arithmetic, Rows>(units, a, a_row, a_unit, b, c, c_row, accumulate);
        rows -= Rows;
        a += Rows * a_row;
        c += Rows * c_row;
    }
    if constexpr (Rows > 1) {
        if (rows > 0) {
            multiply_remaining_rows<Arithmetic, Rows / 2>(rows, units, a, a_row, a_unit, b, c, c_row,
                                                          accumulate);
        }
    }
}

/// C[rows x panel_columns] = or += A * (one packed panel of B).
template <class Arithmetic>
void multiply_panel(left_block const& a, std::int64_t rows, std::int64_t units,
                    typename Arithmetic::unit const* b, typename Arithmetic::accumulator* c,
                    std::int64_t c_row, bool accumulate) {
    auto const* group = a.data;
    for (; rows >= kernel_rows; rows -= kernel_rows) {
        multiply_rows<Arithmetic, kernel_rows>(units, group, a.row_bytes, a.unit_bytes, b, c, c_row,
                                               accumulate);
        group += a.group_bytes;
        c += kernel_rows * c_row;
    }
    if (rows > 0) {
        constexpr int largest_power_of_two = kernel_rows > 8 ? 8 : 4;
        multiply_remaining_rows<Arithmetic, largest_power_of_two>(rows, units, group, a.row_bytes,
                                                                  a.unit_bytes, b, c, c_row, accumulate);
    }
}

}  // namespace snug::SNUG_TARGET::backend::host::detail
