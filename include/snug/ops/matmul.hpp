// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <snug/memory/tensor.hpp>
#include <snug/ops/operation.hpp>
#include <snug/quantization/none.hpp>
#include <type_traits>

namespace snug::SNUG_TARGET::operation {
struct matmul;
}  // namespace snug::SNUG_TARGET::operation

namespace snug::SNUG_TARGET {

/// The transpose of a matrix, as an operand of a product.
template <class M>
struct transposed {
    M of;
};
template <class M>
transposed(M) -> transposed<M>;

/// A block-diagonal matrix, as the right operand of a product: a block of `Rank` rows for every column range
/// of `Blocks` (`first[b]`, `count[b]`, in order, out of `width` columns). The block is stored transposed:
/// row i of `data`, `Rank` wide, is the i-th column that belongs to a block. Columns outside all blocks are
/// zero.
template <class T, class Blocks, index_t Rank>
struct block_diagonal {
    static constexpr index_t width = Blocks::width;
    T const* data;
};

/// A B, to be computed together with others.
template <class A, class B>
struct product {
    using left = A;
    using right = B;
    A a;
    B b;
};
template <class A, class B>
product(A, B) -> product<A, B>;

namespace refusal {

template <class A, class B, index_t WidthOfA, index_t WidthOfB>
struct the_operands_of_a_product_do_not_fit {
    static_assert(
        WidthOfA == WidthOfB,
        "snug: in a product of a matrix with a transposed matrix both must have the same width (see "
        "WidthOfA and WidthOfB)");
};

template <class B, class Store, index_t WidthOfB, index_t WidthOfResult>
struct the_result_of_a_product_does_not_fit {
    static_assert(
        WidthOfB == WidthOfResult,
        "snug: a product is as wide as its right operand, and its result is stored in a matrix of another "
        "width (see WidthOfB and WidthOfResult)");
};

}  // namespace refusal

namespace detail {

template <class A, class B>
struct checked_product {};
template <class T, index_t WidthOfA, index_t StrideOfA, class U, index_t WidthOfB, index_t StrideOfB>
struct checked_product<matrix<T, WidthOfA, StrideOfA>, transposed<matrix<U, WidthOfB, StrideOfB>>>
    : refusal::the_operands_of_a_product_do_not_fit<matrix<T, WidthOfA>, matrix<U, WidthOfB>, WidthOfA,
                                                    WidthOfB> {};

template <class B, class Store>
struct checked_result {};
template <class T, index_t WidthOfB, index_t StrideOfB, class Store>
    requires requires { Store::width; }
struct checked_result<matrix<T, WidthOfB, StrideOfB>, Store>
    : refusal::the_result_of_a_product_does_not_fit<matrix<T, WidthOfB>, Store, WidthOfB, Store::width> {};

}  // namespace detail

namespace ops {

/// Bytes of workspace that a product needs whose right operand has `columns` columns, summed over at most
/// `depth` terms, with operands of type T. A constant of the program: it depends on no machine.
template <class Backend, class T>
constexpr index_t matmul_workspace(index_t columns, index_t depth) {
    return Backend::template matmul_workspace<T>(columns, depth);
}

/// The same when a quantization scheme stores the right operand, for up to `rows` rows of the result.
template <class Backend, class T>
constexpr index_t quantized_matmul_workspace(index_t rows, index_t columns, index_t depth) {
    return Backend::template quantized_matmul_workspace<T>(rows, columns, depth);
}

/// Either of the two, for the rows of the setting and its type of activations: `Scheme` stores the right
/// operand, `quantization::none` for none.
template <class Scheme, class Setting>
constexpr index_t matmul_workspace_with(index_t columns, index_t depth) {
    using backend = typename Setting::backend;
    using element = typename Setting::activation;
    if constexpr (std::is_same_v<Scheme, quantization::none>)
        return matmul_workspace<backend, element>(columns, depth);
    else return quantized_matmul_workspace<backend, element>(Setting::rows, columns, depth);
}

template <class Backend, class Store, class... Products>
concept has_matmul = takes_bodies_for_granted ||
    requires(Backend on, std::byte* workspace, Store const& store, Products... products) {
    matmul_on(on, workspace, store, products...);
};

/// store(row, column, value) for every element of the sum of products A B, rounded there; a device may also
/// round what the later products add up to. A and B are `matrix` or `transposed<matrix>`, B also a
/// `quantized_matrix`, its transpose, or `block_diagonal`. `workspace` has `matmul_workspace` bytes for the
/// longest of the products, aligned to a cache line.
template <class Backend, class Store, class... A, class... B>
inline void matmul(Backend on, std::byte* workspace, Store const& store, product<A, B>... products) {
    static_assert((sizeof(detail::checked_product<A, B>) * ...) > 0 &&
                  (sizeof(detail::checked_result<B, Store>) * ...) > 0);
    if constexpr (has_matmul<Backend, Store, product<A, B>...>) matmul_on(on, workspace, store, products...);
    else (void)sizeof(missing_body<Backend, operation::matmul, A..., B..., Store>);
}

/// The same for one product.
template <class Backend, class A, class B, class Store>
inline void matmul(Backend on, A a, B b, std::byte* workspace, Store const& store) {
    matmul(on, workspace, store, product{a, b});
}

}  // namespace ops
}  // namespace snug::SNUG_TARGET
