// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <snug/kernels/sinks.hpp>
#include <snug/kernels/store.hpp>

/// A function of single elements and its derivative, in passes over rows, or where a product stores. `Function` has
///
///     template <class S> static constexpr S value(S x);
///     template <class S> static constexpr S derivative(S x);
///
/// S is the type in which it is computed.
namespace snug::SNUG_TARGET::kernels {

/// A row of y = f(x).
template <class Function, class S>
struct value_row {
    constexpr void operator()(auto team, index_t row, auto x, auto y) const {
        auto const* const in = x.aligned_row(row);
        store_row(team, y, row, x.width, [=](index_t i) { return Function::value(static_cast<S>(in[i])); });
    }
};

/// A row of dx = dy f'(x).
template <class Function, class S>
struct derivative_row {
    constexpr void operator()(auto team, index_t row, auto x, auto dy, auto dx) const {
        auto const* const in = x.aligned_row(row);
        auto const* const d_out = dy.aligned_row(row);
        store_row(team, dx, row, x.width, [=](index_t i) {
            return static_cast<S>(d_out[i]) * Function::derivative(static_cast<S>(in[i]));
        });
    }
};

/// Stores a value and, in `to`, f of what was stored: f is the same if somebody computes it again.
template <class Function, class S, class T, index_t Width>
struct stored_through {
    static constexpr index_t width = Width;
    matrix<T, Width> x;
    matrix<T, Width> to;

    template <class Value>
    constexpr void operator()(index_t row, index_t column, Value value) const {
        put(x.row(row)[column], value);
        put(to.row(row)[column], Function::value(static_cast<S>(x.row(row)[column])));
    }
};

/// Stores value · f'(x).
template <class Function, class S, class T, index_t Width>
struct times_derivative {
    static constexpr index_t width = Width;
    matrix<T, Width> x;
    matrix<T, Width> to;

    template <class Value>
    constexpr void operator()(index_t row, index_t column, Value value) const {
        put(to.row(row)[column],
            static_cast<S>(value) * Function::derivative(static_cast<S>(x.row(row)[column])));
    }
};

}  // namespace snug::SNUG_TARGET::kernels
