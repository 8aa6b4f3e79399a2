// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <snug/backend/cuda/cublaslt.cuh>
#include <snug/backend/cuda/gemm.cuh>
#include <snug/backend/cuda/rows.cuh>
#include <snug/backend/cuda/tag.hpp>
#include <snug/kernels/elementwise.hpp>
#include <snug/ops/backend.hpp>
#include <utility>

/// Body of the matrix product: cuBLASLt where it can do the product, snug's own kernels elsewhere; decided at compile time.
namespace snug::backend::cuda {

namespace detail {

/// A store with an elementwise function in two steps: what the product stores, then a pass over the rows. The value of GELU
/// always takes two: the library would compute it of the sum before that is rounded, and it would have other bits than when a
/// checkpointing policy computes it again of what was stored.
template <class Store>
struct two_steps {
    static constexpr bool possible = false;
};
template <class Function, class S, class T, index Width>
struct two_steps<kernels::stored_through<Function, S, T, Width>> {
    using store = kernels::stored_through<Function, S, T, Width>;
    static constexpr bool possible = true;
    static auto first(store const& y) { return written<T, Width>{y.x}; }
    static void second(store const& y) {
        ops::for_each_row<tag, Width>(
            y.x.rows, ops::bound<kernels::value_row<Function, S>>(y.x, written<T, Width>{y.to}));
    }
};
template <class Function, class S, class T, index Width>
struct two_steps<kernels::times_derivative<Function, S, T, Width>> {
    using store = kernels::times_derivative<Function, S, T, Width>;
    static constexpr bool possible = true;
    static auto first(store const& y) { return written<T, Width>{y.to}; }
    static void second(store const& y) {
        ops::for_each_row<tag, Width>(
            y.x.rows, ops::bound<kernels::derivative_row<Function, S>>(y.x, y.to, written<T, Width>{y.to}));
    }
};
template <class Sink, class Bias>
struct two_steps<with_bias<Sink, Bias>> {
    static constexpr bool possible = two_steps<Sink>::possible;
    static auto first(with_bias<Sink, Bias> const& y) {
        return with_bias{two_steps<Sink>::first(y.to), y.bias};
    }
    static void second(with_bias<Sink, Bias> const& y) { two_steps<Sink>::second(y.to); }
};

/// The library does the first of two steps.
template <class A, class B, class Store>
constexpr bool library_begins() {
    if constexpr (two_steps<Store>::possible)
        return library_computes<A, B, decltype(two_steps<Store>::first(std::declval<Store const&>()))>();
    else return false;
}

}  // namespace detail

template <class Store, class A, class B, class... Further>
void matmul_on(tag, std::byte* workspace, Store const& store, product<A, B> first, Further... further) {
    constexpr bool alone = sizeof...(Further) == 0;
    if constexpr (alone && detail::library_computes<A, B, Store>())
        if (library_matmul(workspace, store, first)) return;
    if constexpr (alone && detail::library_begins<A, B, Store>()) {
        library_matmul(workspace, detail::two_steps<Store>::first(store), first);
        detail::two_steps<Store>::second(store);
    } else if constexpr (!alone || !detail::library_computes<A, B, Store>()) {
        own_matmul(store, first, further...);
    }
}

}  // namespace snug::backend::cuda
