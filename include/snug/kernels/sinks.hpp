// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <snug/memory/tensor.hpp>

/// Sinks: where a product or a row puts what it has computed, and what becomes of it there.
namespace snug::SNUG_TARGET {

/// to = value, rounded to T. A function of its own: a temporary bf16 in the body of a simd loop keeps GCC 12 from vectorising
/// the loop.
template <class T, class Value>
constexpr void put(T& to, Value value) {
    to = static_cast<T>(value);
}

/// to += value, computed in the value's type and rounded once to T.
template <class T, class Value>
constexpr void add_to(T& to, Value value) {
    to = static_cast<T>(static_cast<Value>(to) + value);
}

/// Where a layer puts its result, shape (rows, Width). A sink is a function object `y(row, column, value)`; those here also say
/// what will be stored (`prepared`), so that a row's reads can come before its writes.
/// `written` replaces what was there.
template <class T, index_t Width, index_t Stride = Width>
struct written {
    static constexpr index_t width = Width;
    matrix<T, Width, Stride> to;

    template <class Value>
    constexpr T prepared(index_t, index_t, Value value) const {
        return static_cast<T>(value);
    }
    template <class Value>
    constexpr void operator()(index_t row, index_t column, Value value) const {
        to.row(row)[column] = prepared(row, column, value);
    }
};

/// Where a layer puts a result that nobody needs.
template <index_t Width>
struct discarded {
    static constexpr index_t width = Width;

    template <class Value>
    constexpr void operator()(index_t, index_t, Value) const {}
};

/// Where a layer puts its result, shape (rows, Width): `added` stores `base + value`, so that a residual
/// connection costs no pass of its own. `base` may be the same memory as `to`.
template <class T, index_t Width>
struct added {
    static constexpr index_t width = Width;
    matrix<T, Width> to;
    matrix<T const, Width> base;

    template <class Value>
    constexpr T prepared(index_t row, index_t column, Value value) const {
        return static_cast<T>(static_cast<Value>(base.aligned_row(row)[column]) + value);
    }
    template <class Value>
    constexpr void operator()(index_t row, index_t column, Value value) const {
        to.row(row)[column] = prepared(row, column, value);
    }
};

/// The sink says what it will store.
template <class Sink>
inline constexpr bool is_prepared = false;
template <class T, index_t Width, index_t Stride>
inline constexpr bool is_prepared<written<T, Width, Stride>> = true;
template <class T, index_t Width>
inline constexpr bool is_prepared<added<T, Width>> = true;

/// Adds to a gradient, shape (rows, Width).
template <class T, index_t Width, index_t Stride = Width>
struct accumulated {
    static constexpr index_t width = Width;
    matrix<T, Width, Stride> to;

    template <class Value>
    constexpr void operator()(index_t row, index_t column, Value value) const {
        add_to(to.row(row)[column], value);
    }
};

/// Adds a bias, one number a column, to what another sink stores.
template <class Sink, class T>
struct with_bias {
    static constexpr index_t width = Sink::width;
    Sink to;
    T const* bias;

    template <class Value>
    constexpr void operator()(index_t row, index_t column, Value value) const {
        to(row, column, value + static_cast<Value>(bias[column]));
    }
};
template <class Sink, class T>
with_bias(Sink, T const*) -> with_bias<Sink, T>;

/// Adds a matrix of the same shape to what another sink stores.
template <class Sink, class T>
struct with_addend {
    static constexpr index_t width = Sink::width;
    Sink to;
    matrix<T const, width> addend;

    template <class Value>
    constexpr void operator()(index_t row, index_t column, Value value) const {
        to(row, column, value + static_cast<Value>(addend.row(row)[column]));
    }
};

/// Gives `factor` times the value to another sink.
template <class Sink>
struct scaled {
    static constexpr index_t width = Sink::width;
    Sink to;
    double factor;

    template <class Value>
    constexpr void operator()(index_t row, index_t column, Value value) const {
        to(row, column, value * static_cast<Value>(factor));
    }
};
template <class Sink>
scaled(Sink, double) -> scaled<Sink>;

}  // namespace snug::SNUG_TARGET
