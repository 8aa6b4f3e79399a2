// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <snug/backend/cuda/cublaslt.cuh>
#include <snug/backend/cuda/decoded_product.cuh>
#include <snug/backend/cuda/for_each_row.cuh>
#include <snug/backend/cuda/gemm.cuh>
#include <snug/backend/cuda/tag.hpp>
#include <snug/kernels/elementwise.hpp>
#include <snug/kernels/low_rank.hpp>
#include <snug/ops/for_each_row.hpp>
#include <snug/ops/matmul.hpp>
#include <utility>

/// Body of the matrix product: cuBLASLt where it can do the product, snug's own kernels elsewhere. What it can do is known at
/// compile time; whether a quantized operand is decoded for it, or a sum of products is left to it, depends on the rows.
namespace snug::SNUG_TARGET::backend::cuda {

namespace detail {

/// A store with an elementwise function in two steps: what the product stores, then a pass over the rows. The value of GELU
/// always takes two: the library would compute it of the sum before that is rounded, and it would have other bits than when a
/// checkpointing policy computes it again of what was stored.
template <class Store>
struct two_steps {
    static constexpr bool possible = false;
};
template <class Function, class S, class T, index_t Width>
struct two_steps<kernels::stored_through<Function, S, T, Width>> {
    using store = kernels::stored_through<Function, S, T, Width>;
    static constexpr bool possible = true;
    static auto first(store const& y) { return written<T, Width>{y.x}; }
    static void second(tag on, store const& y) {
        ops::for_each_row<Width>(on, y.x.rows,
                                 ops::bound<kernels::value_row<Function, S>>(y.x, written<T, Width>{y.to}));
    }
};
template <class Function, class S, class T, index_t Width>
struct two_steps<kernels::times_derivative<Function, S, T, Width>> {
    using store = kernels::times_derivative<Function, S, T, Width>;
    static constexpr bool possible = true;
    static auto first(store const& y) { return written<T, Width>{y.to}; }
    static void second(tag on, store const& y) {
        ops::for_each_row<Width>(
            on, y.x.rows,
            ops::bound<kernels::derivative_row<Function, S>>(y.x, y.to, written<T, Width>{y.to}));
    }
};
/// Of what is stored of a product with a magnitude nobody may need the scaled one.
template <class T, class S, class Sink>
struct two_steps<kernels::stored_and_scaled<T, S, Sink>> {
    using store = kernels::stored_and_scaled<T, S, Sink>;
    static constexpr bool possible = true;
    static auto first(store const& y) { return written<T, store::width>{y.z}; }
    static void second(tag on, store const& y) {
        if constexpr (!std::is_same_v<Sink, discarded<store::width>>)
            ops::for_each_row<store::width>(on, y.z.rows,
                                            ops::bound<kernels::scale_row>(y.z, y.scales, y.to));
    }
};
template <class Sink, class Bias>
struct two_steps<with_bias<Sink, Bias>> {
    static constexpr bool possible = two_steps<Sink>::possible;
    static auto first(with_bias<Sink, Bias> const& y) {
        return with_bias{two_steps<Sink>::first(y.to), y.bias};
    }
    static void second(tag on, with_bias<Sink, Bias> const& y) { two_steps<Sink>::second(on, y.to); }
};

/// The first of several products as a step after the others: it is added to what they have stored.
template <class Store>
struct added_later {
    static constexpr bool possible = false;
};
template <class T, index_t Width, index_t Stride>
struct added_later<written<T, Width, Stride>> {
    static constexpr bool possible = true;
    static auto of(written<T, Width, Stride> const& y) { return accumulated<T, Width, Stride>{y.to}; }
};
template <class T, index_t Width>
struct added_later<added<T, Width>> {
    static constexpr bool possible = true;
    static auto of(added<T, Width> const& y) { return accumulated<T, Width>{y.to}; }
};
template <class Sink, class Bias>
struct added_later<with_bias<Sink, Bias>> : added_later<Sink> {
    static auto of(with_bias<Sink, Bias> const& y) { return added_later<Sink>::of(y.to); }
};

/// Whether the library takes a part in products, where it is worth it.
enum class library_part { none, possible, certain };

template <class Store, class A, class B>
constexpr library_part library_part_in(product<A, B> const*) {
    if (library_computes<A, B, Store>())
        return is_gradient_of_gelu<Store> ? library_part::possible : library_part::certain;
    return library_computes_decoded<A, B, Store>() ? library_part::possible : library_part::none;
}
template <class Store, class First, class... Further>
    requires(sizeof...(Further) > 0)
constexpr library_part library_part_in(First const*, Further const*...) {
    if constexpr (added_later<Store>::possible) {
        using later = decltype(added_later<Store>::of(std::declval<Store const&>()));
        if (library_part_in<later>(static_cast<First const*>(nullptr)) != library_part::none)
            return library_part::possible;
    }
    return library_part::none;
}
template <class Store, class... Products>
inline constexpr library_part part_of_library =
    library_part_in<Store>(static_cast<Products const*>(nullptr)...);
template <class Store, class... Products>
constexpr library_part part_in_first_step() {
    if constexpr (two_steps<Store>::possible)
        return part_of_library<decltype(two_steps<Store>::first(std::declval<Store const&>())), Products...>;
    else return library_part::none;
}

/// It is worth it.
template <class A, class B, class... Further>
bool is_worth_it(product<A, B> const& first, Further const&...) {
    constexpr auto least = is_decoded<B>            ? rows_worth_decoding
                           : sizeof...(Further) > 0 ? rows_worth_adding
                                                    : 0;
    if constexpr (least == 0) return true;
    else return library_operand_of<A>::of(first.a).outer_rows() >= least;
}

/// Products in which the library can take a part. False, and nothing done, if it turns out that it cannot.
template <class Store, class A, class B, class... Further>
bool by_library(tag on, std::byte* workspace, Store const& store, product<A, B> first, Further... further) {
    if constexpr (sizeof...(Further) > 0) {
        // The others first: an adapter's update is small, and so is what rounding takes from it.
        matmul_on(on, workspace, store, further...);
        return by_library(on, workspace, added_later<Store>::of(store), first);
    } else if constexpr (is_decoded<B>) {
        decoded_matmul(on, workspace, store, first);
        return true;
    } else {
        return library_matmul(on, workspace, store, first);
    }
}

}  // namespace detail

template <class Store, class A, class B, class... Further>
void matmul_on(tag on, std::byte* workspace, Store const& store, product<A, B> first, Further... further) {
    using detail::library_part;
    constexpr auto part = detail::part_of_library<Store, product<A, B>, Further...>;
    constexpr auto part_in_first_step = detail::part_in_first_step<Store, product<A, B>, Further...>();
    if constexpr (part != library_part::none)
        if (detail::is_worth_it(first, further...) &&
            detail::by_library(on, workspace, store, first, further...))
            return;
    if constexpr (part_in_first_step != library_part::none)
        if (detail::is_worth_it(first, further...)) {
            (void)detail::by_library(on, workspace, detail::two_steps<Store>::first(store), first,
                                     further...);
            detail::two_steps<Store>::second(on, store);
            return;
        }
    if constexpr (part != library_part::certain && part_in_first_step != library_part::certain)
        own_matmul(on, store, first, further...);
}

}  // namespace snug::SNUG_TARGET::backend::cuda
