// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>
#include <utility>

#include <snug/backend/host/gemm_kernel.hpp>
#include <snug/backend/host/gemm_sizes.hpp>
#include <snug/precision/bf16.hpp>

namespace snug::SNUG_TARGET::backend::host {

/// A matrix in memory: element (i, j) is `data[i * row_stride + j * column_stride]`. At least one stride is 1.
template <class T>
struct operand {
    using element = T;
    T const* data;
    std::int64_t row_stride;
    std::int64_t column_stride;
};

/// A right operand that a quantization scheme stores, a row-major matrix of `width` columns, or its transpose. It is
/// computed with as type T; `tiles` has `quantized_tile_bytes` for every slot of a parallel loop.
template <class Scheme, class T, bool Transposed>
struct quantized_operand {
    using element = T;
    typename Scheme::view stored;
    std::int64_t width;
    std::byte* tiles;

    /// The same operand with the tile of a slot.
    quantized_operand in(int slot) const { return {stored, width, tiles + slot * quantized_tile_bytes}; }
    T* tile() const { return reinterpret_cast<T*>(tiles); }
};

/// A block-diagonal right operand (snug::block_diagonal): block b has the `Rank` rows from b · Rank on.
template <class T, class Blocks, std::int64_t Rank>
struct block_diagonal_operand {
    using element = T;
    static constexpr auto blocks = static_cast<std::size_t>(Blocks::blocks);
    T const* data;

    /// Rows in which any of these columns is not zero.
    static constexpr std::int64_t first_row(std::int64_t column) {
        std::size_t b = 0;
        while (b < blocks && Blocks::first[b] + Blocks::count[b] <= column) ++b;
        return static_cast<std::int64_t>(b) * Rank;
    }
    static constexpr std::int64_t end_row(std::int64_t end_column) {
        std::size_t b = 0;
        while (b < blocks && Blocks::first[b] < end_column) ++b;
        return static_cast<std::int64_t>(b) * Rank;
    }
};

namespace detail {

template <class Arithmetic>
constexpr std::int64_t units_for(std::int64_t k) {
    return (k + Arithmetic::depth - 1) / Arithmetic::depth;
}

/// The unit of elements `low` (k) and `high` (k + 1); `high` is read only when a unit holds two of them.
template <class Arithmetic, class T>
[[gnu::always_inline]] inline typename Arithmetic::unit make_unit(T low, [[maybe_unused]] T high) {
    if constexpr (Arithmetic::depth == 1) {
        return static_cast<typename Arithmetic::unit>(low);
    } else {
        return low.bits | static_cast<std::uint32_t>(high.bits) << 16;
    }
}

/// Units of `count` consecutive k from `source`; what the last unit lacks is zero.
template <class Arithmetic, class T>
void make_units(T const* source, std::int64_t count, typename Arithmetic::unit* target) {
    constexpr int depth = Arithmetic::depth;
    std::int64_t const whole = count / depth;
    for (std::int64_t u = 0; u < whole; ++u) {
        target[u] = make_unit<Arithmetic>(source[u * depth], source[u * depth + depth - 1]);
    }
    if (whole * depth < count) {
        target[whole] = make_unit<Arithmetic>(source[count - 1], T(0.0f));
    }
}

/// Lines of k (`source + k * stride`) into panels of `Width` columns, [columns / Width][units][Width], zero-padded.
template <class Arithmetic, int Width, class T>
void pack_lines(T const* source, std::int64_t stride, std::int64_t k_count, std::int64_t columns,
                typename Arithmetic::unit* target) {
    constexpr int depth = Arithmetic::depth;
    std::int64_t const units = units_for<Arithmetic>(k_count);
    static constexpr T zeros[Width] = {};
    for (std::int64_t u = 0; u < units; ++u) {
        T const* const low = source + u * depth * stride;
        bool const has_high = u * depth + depth - 1 < k_count;
        for (std::int64_t j = 0; j < columns; j += Width) {
            auto* const out = target + j * units + u * Width;
            std::int64_t const width = std::min<std::int64_t>(Width, columns - j);
            T const* const first = low + j;
            T const* const second = has_high ? first + (depth - 1) * stride : zeros;
            if (width < Width) {
                for (std::int64_t l = 0; l < Width; ++l) {
                    out[l] =
                        l < width ? make_unit<Arithmetic>(first[l], second[l]) : typename Arithmetic::unit{};
                }
            } else if constexpr (std::is_same_v<T, typename Arithmetic::unit>) {
                std::memcpy(out, first, Width * sizeof(T));
            } else {
                for (int l = 0; l < Width; ++l) {
                    out[l] = make_unit<Arithmetic>(first[l], second[l]);
                }
            }
        }
    }
}

template <int Half, class Vector, int... Lane>
[[gnu::always_inline]] inline void exchange_halves(Vector& a, Vector& b,
                                                   std::integer_sequence<int, Lane...>) {
#if defined(__CUDACC__)
    // nvcc does not expand packs in the arguments of a builtin. Slower, on the host of a program for the GPU.
    Vector low = a, high = b;
    ((low[Lane] = (Lane & Half) != 0 ? b[Lane - Half] : a[Lane]), ...);
    ((high[Lane] = (Lane & Half) != 0 ? b[Lane] : a[Lane + Half]), ...);
#else
    constexpr int lanes = sizeof...(Lane);
    Vector const low = __builtin_shufflevector(a, b, ((Lane & Half) != 0 ? lanes + Lane - Half : Lane)...);
    Vector const high = __builtin_shufflevector(a, b, ((Lane & Half) != 0 ? lanes + Lane : Lane + Half)...);
#endif
    a = low;
    b = high;
}

/// Transposes a square of `Lanes` vectors in registers: halves of growing size change places.
template <int Lanes, int Half, class Vector>
[[gnu::always_inline]] inline void transpose(Vector* rows) {
#pragma GCC unroll 16
    for (int i = 0; i < Lanes; ++i) {
        if ((i & Half) == 0) {
            exchange_halves<Half>(rows[i], rows[i + Half], std::make_integer_sequence<int, Lanes>{});
        }
    }
    if constexpr (Half * 2 < Lanes) {
        transpose<Lanes, Half * 2>(rows);
    }
}

/// Columns of k (`source + column * stride`, consecutive in k) into one panel [units][panel_columns], zero-padded.
template <class Arithmetic, class T>
void pack_columns(T const* source, std::int64_t stride, std::int64_t k_count, std::int64_t columns,
                  typename Arithmetic::unit* target) {
    using unit = typename Arithmetic::unit;
    using vector = typename vector_of<unit>::type;
    constexpr int lanes = unit_lanes<Arithmetic>;
    constexpr int depth = Arithmetic::depth;
    std::int64_t const units = units_for<Arithmetic>(k_count);
    for (std::int64_t u = 0; u < units; u += lanes) {
        std::int64_t const k_left = k_count - u * depth;
        std::int64_t const units_left = std::min<std::int64_t>(lanes, units - u);
        for (std::int64_t first = 0; first < panel_columns<Arithmetic>; first += lanes) {
            vector square[lanes];
            bool const whole = k_left >= lanes * depth && columns - first >= lanes;
            if (whole) {
#pragma GCC unroll 16
                for (int l = 0; l < lanes; ++l) {
                    unit line[lanes];
                    make_units<Arithmetic>(source + (first + l) * stride + u * depth, lanes * depth, line);
                    std::memcpy(&square[l], line, sizeof(vector));
                }
            } else {
                for (int l = 0; l < lanes; ++l) {
                    unit line[lanes] = {};
                    if (first + l < columns) {
                        make_units<Arithmetic>(source + (first + l) * stride + u * depth,
                                               std::min<std::int64_t>(k_left, lanes * depth), line);
                    }
                    std::memcpy(&square[l], line, sizeof(vector));
                }
            }
            transpose<lanes, 1>(square);
            auto* const out = target + u * panel_columns<Arithmetic> + first;
            if (units_left == lanes) {
#pragma GCC unroll 16
                for (int l = 0; l < lanes; ++l) {
                    std::memcpy(out + l * panel_columns<Arithmetic>, &square[l], sizeof(vector));
                }
            } else {
                for (int l = 0; l < units_left; ++l) {
                    std::memcpy(out + l * panel_columns<Arithmetic>, &square[l], sizeof(vector));
                }
            }
        }
    }
}

/// Columns [first_column, + columns) and rows [first_k, + k_count) of B into one panel [units][panel_columns].
template <class Arithmetic, class T>
[[gnu::noinline]] void pack_right(operand<T> const& b, std::int64_t first_k, std::int64_t k_count,
                                  std::int64_t first_column, std::int64_t columns,
                                  typename Arithmetic::unit* target) {
    T const* const corner = b.data + first_k * b.row_stride + first_column * b.column_stride;
    if (b.column_stride == 1) {
        pack_lines<Arithmetic, panel_columns<Arithmetic>>(corner, b.row_stride, k_count, columns, target);
    } else {
        pack_columns<Arithmetic>(corner, b.column_stride, k_count, columns, target);
    }
}

/// The same of a quantized B: the panel is decoded into the thread's tile first, and never more than that.
template <class Arithmetic, class Scheme, class T, bool Transposed>
[[gnu::noinline]] void pack_right(quantized_operand<Scheme, T, Transposed> const& b, std::int64_t first_k,
                                  std::int64_t k_count, std::int64_t first_column, std::int64_t columns,
                                  typename Arithmetic::unit* target) {
    T* const tile = b.tile();
    if constexpr (Transposed) {
        for (std::int64_t j = 0; j < columns; ++j)
            Scheme::decode(b.stored, (first_column + j) * b.width + first_k, k_count, tile + j * k_count);
        pack_right<Arithmetic>(operand<T>{tile, 1, k_count}, 0, k_count, 0, columns, target);
    } else {
        for (std::int64_t i = 0; i < k_count; ++i)
            Scheme::decode(b.stored, (first_k + i) * b.width + first_column, columns, tile + i * columns);
        pack_right<Arithmetic>(operand<T>{tile, columns, 1}, 0, k_count, 0, columns, target);
    }
}

/// The same of a block-diagonal B: only its blocks are read.
template <class Arithmetic, class T, class Blocks, std::int64_t Rank>
[[gnu::noinline]] void pack_right(block_diagonal_operand<T, Blocks, Rank> const& b, std::int64_t first_k,
                                  std::int64_t k_count, std::int64_t first_column, std::int64_t columns,
                                  typename Arithmetic::unit* target) {
    constexpr int depth = Arithmetic::depth;
    constexpr auto width = panel_columns<Arithmetic>;
    std::fill_n(target, units_for<Arithmetic>(k_count) * width, typename Arithmetic::unit{});
    T const* stored = b.data;
    for (std::size_t block = 0; block < b.blocks; ++block) {
        std::int64_t const block_k = static_cast<std::int64_t>(block) * Rank;
        std::int64_t const k_begin = std::max(first_k, block_k);
        std::int64_t const k_end = std::min(first_k + k_count, block_k + Rank);
        std::int64_t const j_begin = std::max(first_column, Blocks::first[block]);
        std::int64_t const j_end =
            std::min(first_column + columns, Blocks::first[block] + Blocks::count[block]);
        for (std::int64_t j = j_begin; j < j_end; ++j) {
            T const* const line = stored + (j - Blocks::first[block]) * Rank - block_k;
            auto* const out = target + (j - first_column);
            for (std::int64_t k = k_begin; k < k_end; ++k) {
                auto& unit = out[(k - first_k) / depth * width];
                // A unit may hold the last row of one block and the first of the next.
                if constexpr (depth == 1) unit = static_cast<typename Arithmetic::unit>(line[k]);
                else unit |= static_cast<typename Arithmetic::unit>(line[k].bits) << (k - first_k) % 2 * 16;
            }
        }
        stored += Blocks::count[block] * Rank;
    }
}

/// Rows [first_row, + rows) and columns [first_k, + k_count) of A for the micro-kernel: in place where its memory
/// already is a sequence of units along k, otherwise packed into `scratch`.
template <class Arithmetic, class T>
[[gnu::noinline]] left_block prepare_left(operand<T> const& a, std::int64_t first_row, std::int64_t rows,
                                          std::int64_t first_k, std::int64_t k_count,
                                          typename Arithmetic::unit* scratch) {
    using unit = typename Arithmetic::unit;
    constexpr bool units_in_place =
        std::is_same_v<T, unit> || (Arithmetic::depth == 2 && std::is_same_v<T, bf16>);
    constexpr auto unit_bytes = static_cast<std::int64_t>(sizeof(unit));
    T const* const corner = a.data + first_row * a.row_stride + first_k * a.column_stride;
    std::int64_t const units = units_for<Arithmetic>(k_count);
    if (a.column_stride != 1) {
        pack_lines<Arithmetic, kernel_rows>(corner, a.column_stride, k_count, rows, scratch);
        return {reinterpret_cast<std::byte const*>(scratch), units * kernel_rows * unit_bytes, unit_bytes,
                kernel_rows * unit_bytes};
    }
    if (units_in_place && k_count % Arithmetic::depth == 0) {
        std::int64_t const row_bytes = a.row_stride * static_cast<std::int64_t>(sizeof(T));
        return {reinterpret_cast<std::byte const*>(corner), kernel_rows * row_bytes, row_bytes, unit_bytes};
    }
    std::int64_t const row_units = left_row_units(units);
    for (std::int64_t i = 0; i < rows; ++i) {
        make_units<Arithmetic>(corner + i * a.row_stride, k_count, scratch + i * row_units);
    }
    return {reinterpret_cast<std::byte const*>(scratch), kernel_rows * row_units * unit_bytes,
            row_units * unit_bytes, unit_bytes};
}

}  // namespace detail

}  // namespace snug::SNUG_TARGET::backend::host
