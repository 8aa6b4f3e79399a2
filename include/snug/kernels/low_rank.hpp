// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <snug/kernels/sinks.hpp>
#include <snug/kernels/store.hpp>
#include <snug/meta.hpp>
#include <snug/quantization/matrix.hpp>
#include <snug/random.hpp>

/// What products of a low-rank update store, and what is done to its rows: named function objects for `ops`. They depend on
/// widths only, not on the names of layers: a device compiler cannot write those in the name of a kernel.
namespace snug::SNUG_TARGET::kernels {

namespace detail {

/// Inverted dropout of one value. The mask is a function of the key, so backward and recomputation see the same.
template <class Value>
constexpr Value kept(std::uint64_t key, index_t row, index_t column, Value value, double dropout) {
    auto const limit = static_cast<std::uint32_t>(dropout * 0x1p32);
    auto const word = random::bits(key, static_cast<std::uint64_t>(row), static_cast<std::uint64_t>(column));
    return static_cast<std::uint32_t>(word) < limit ? Value(0)
                                                    : value * static_cast<Value>(1 / (1 - dropout));
}

/// Elements [first, first + count) of a row of a frozen weight, as fp32.
template <class T, index_t Width, index_t Stride>
constexpr void read_row(matrix<T, Width, Stride> w, index_t row, index_t first, index_t count, float* to) {
    for (index_t i = 0; i < count; ++i) to[i] = static_cast<float>(w.row(row)[first + i]);
}
template <class Scheme, index_t Rows, index_t Width>
constexpr void read_row(quantized_matrix<Scheme, Rows, Width> w, index_t row, index_t first, index_t count,
                        float* to) {
    Scheme::decode(w.stored, row * Width + first, count, to);
}

/// The sum of a row's squares. A team that has several lanes reads single numbers, a serial one decodes pieces.
template <class S, index_t Width, class W, class Team>
constexpr S square_of_row(W w, Team team, index_t row) {
    if constexpr (Team::lanes > 1) {
        return team.template sum<S>(Width, [=](index_t i) {
            auto const value = static_cast<S>(team.number(w, row, i));
            return value * value;
        });
    } else {
        constexpr index_t piece = 256;
        S total = 0;
        for (index_t first = 0; first < Width; first += piece) {
            float values[piece] = {};
            auto const count = std::min(piece, Width - first);
            read_row(w, row, first, count, values);
            total += team.template sum<S>(
                count, [&](index_t i) { return static_cast<S>(values[i]) * static_cast<S>(values[i]); });
        }
        return total;
    }
}

}  // namespace detail

/// Stores a value in z and, in another sink, `scales[column]` times it.
template <class T, class S, class Sink>
struct stored_and_scaled {
    static constexpr index_t width = Sink::width;
    matrix<T, width> z;
    S const* scales;
    Sink to;

    template <class Value>
    constexpr void operator()(index_t row, index_t column, Value value) const {
        put(z.row(row)[column], value);
        to(row, column, value * static_cast<Value>(scales[column]));
    }
};
template <class T, index_t Width, class S, class Sink>
stored_and_scaled(matrix<T, Width>, S const*, Sink) -> stored_and_scaled<T, S, Sink>;

/// to = value with dropout.
template <index_t Width>
struct store_kept {
    template <class Value>
    constexpr void operator()(index_t row, index_t column, Value value, auto draws, auto* to,
                              double dropout) const {
        put(to[row * Width + column], detail::kept(draws.key(), row, column, value, dropout));
    }
};

/// A row of x with dropout, computed in the type of `zero`.
template <index_t Width>
struct drop_row {
    constexpr void operator()(auto team, index_t row, auto draws, auto x, auto* to, auto zero,
                              double dropout) const {
        auto const key = draws.key();
        auto const* const from = x.row(row);
        team.for_each(Width, [=](index_t i) {
            put(to[row * Width + i],
                detail::kept(key, row, i, static_cast<decltype(zero)>(from[i]), dropout));
        });
    }
};

/// A row of y = x · scales, column by column.
struct scale_row {
    template <class S>
    constexpr void operator()(auto team, index_t row, auto x, S const* scales, auto y) const {
        auto const* const from = x.aligned_row(row);
        store_row(team, y, row, x.width, [=](index_t i) { return static_cast<S>(from[i]) * scales[i]; });
    }
};

/// The gradient of a magnitude, a term for every row; z in rows of `Width`.
template <index_t Width>
struct magnitude_gradient {
    template <class S>
    constexpr S operator()(index_t row, index_t column, auto dy, auto const* z, S const* inverse) const {
        return static_cast<S>(dy.row(row)[column]) * static_cast<S>(z[row * Width + column]) *
               inverse[column];
    }
};

struct set_to_one {
    constexpr void operator()(index_t j, auto* a, auto* b) const { a[j] = b[j] = 1; }
};

/// Row i of A Aᵀ, with A of shape (Rank, Width).
template <class S, index_t Rank, index_t Width>
struct products_of_rows {
    constexpr void operator()(auto team, index_t i, auto const* a, S* squares) const {
        for (index_t k = 0; k < Rank; ++k)
            squares[i * Rank + k] = team.template sum<S>(Width, [=](index_t c) {
                return static_cast<S>(a[i * Width + c]) * static_cast<S>(a[k * Width + c]);
            });
    }
};

/// 1 / ‖w + s b A‖ of row j of a block that begins at row `first`, and m times that: from ‖w‖² + 2 s (A w)·b + s² bᵀ (A Aᵀ) b.
template <class S, index_t Rank, index_t Width, index_t Out>
struct length_of_row {
    constexpr void operator()(auto team, index_t j, auto w, index_t first, auto const* b, auto const* m,
                              S const* aw, S const* squares, S* inverse, S* scales, double scale) const {
        auto const* const row = b + j * Rank;
        S const s = static_cast<S>(scale);
        S square = detail::square_of_row<S, Width>(w, team, first + j);
        for (index_t i = 0; i < Rank; ++i) {
            square += 2 * s * static_cast<S>(row[i]) * aw[i * Out + first + j];
            for (index_t k = 0; k < Rank; ++k)
                square += s * s * static_cast<S>(row[i]) * squares[i * Rank + k] * static_cast<S>(row[k]);
        }
        inverse[first + j] = 1 / std::sqrt(square);
        scales[first + j] = static_cast<S>(m[j]) * inverse[first + j];
    }
};

}  // namespace snug::SNUG_TARGET::kernels
