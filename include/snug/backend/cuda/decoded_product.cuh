// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cuda_runtime.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <snug/backend/cuda/cublaslt.cuh>
#include <snug/backend/cuda/decode.cuh>
#include <snug/backend/cuda/gemm_sizes.hpp>
#include <snug/backend/cuda/intrinsics.cuh>
#include <snug/backend/cuda/launch.cuh>
#include <snug/memory/tensor.hpp>
#include <snug/ops/backend.hpp>
#include <snug/precision/bf16.hpp>
#include <snug/precision/fp16.hpp>
#include <snug/quantization/matrix.hpp>
#include <type_traits>

/// Products of many rows with a quantized operand: slices of it are decoded into the workspace, and the library multiplies with
/// them. The values are those that snug's own kernels decode on the way.
namespace snug::backend::cuda {

namespace detail {

/// A thread decodes `pieces` pieces of neighbours, those of a block one after the other.
struct decoding {
    static constexpr int threads = 256;
    static constexpr int pieces = 2;
    static constexpr int piece = 8;
    static constexpr int block_elements = threads * pieces * piece;
};

/// Rows from `first_row` on and columns [first_column, first_column + columns) of a quantized matrix in rows of `Width`, decoded
/// to rows of `columns`. Blocks: (rows, parts of a row). `Wide`: columns, Width and the scheme allow pieces of 8.
template <class T, class Scheme, index_t Width, bool Wide>
__global__ void __launch_bounds__(decoding::threads)
    decode_rows(typename Scheme::view stored, index_t first_row, index_t first_column, int columns, T* to) {
    using from = decoder<Scheme>;
    __shared__ float table[std::max(from::table_size, 1)];
    if constexpr (from::table_size > 0) {
        static_assert(from::table_size <= decoding::threads);
        if (threadIdx.x < from::table_size) table[threadIdx.x] = from::numbers(stored)[threadIdx.x];
        __syncthreads();
    }
    index_t const row = static_cast<index_t>(blockIdx.x);
    index_t const source = (first_row + row) * Width + first_column;
    T* const target = to + row * columns;
    int const first = static_cast<int>(blockIdx.y) * decoding::block_elements;
    if constexpr (Wide) {
        typename from::template some<decoding::piece> codes[decoding::pieces];
        auto const column = [&](int j) {
            return first + (j * decoding::threads + static_cast<int>(threadIdx.x)) * decoding::piece;
        };
#pragma unroll
        for (int j = 0; j < decoding::pieces; ++j)
            if (column(j) < columns) from::read(codes[j], stored, source + column(j));
#pragma unroll
        for (int j = 0; j < decoding::pieces; ++j)
            if (column(j) < columns) {
                auto const number = [&](int i) { return from::number(codes[j], i, table); };
                if constexpr (sizeof(T) == 2) {
                    auto const pair = [&](int i) { return packed<T>(number(i), number(i + 1)); };
                    *reinterpret_cast<uint4*>(target + column(j)) = {pair(0), pair(2), pair(4), pair(6)};
                } else {
                    auto* const eight = reinterpret_cast<float4*>(target + column(j));
                    eight[0] = {number(0), number(1), number(2), number(3)};
                    eight[1] = {number(4), number(5), number(6), number(7)};
                }
            }
    } else {
#pragma unroll 1
        for (int i = first + static_cast<int>(threadIdx.x);
             i < min(columns, first + decoding::block_elements); i += decoding::threads) {
            float const value = from::value(stored, source + i, table);
            if constexpr (sizeof(T) == 2)
                target[i] = T::from_bits(static_cast<std::uint16_t>(packed<T>(value, 0.0f)));
            else target[i] = value;
        }
    }
}

template <class Scheme, index_t Width, class T>
void decode(typename Scheme::view const& stored, index_t first_row, index_t rows, index_t first_column,
            index_t columns, T* to) {
    // Pieces at multiples of 8 lie within blocks if a row begins with one, or with half of one.
    constexpr bool wide = Width % decoding::piece == 0 && decoder<Scheme>::at_once > 0;
    auto const parts = (columns + decoding::block_elements - 1) / decoding::block_elements;
    launch(&decode_rows<T, Scheme, Width, wide>,
           dim3(static_cast<unsigned>(rows), static_cast<unsigned>(parts)), decoding::threads, 0, stored,
           first_row, first_column, static_cast<int>(columns), to);
}

/// The right operand of a product, `columns` x `depth`, of which slices of columns are decoded.
template <class Operand>
struct decoded_operand_of {
    static constexpr bool possible = false;
};
template <class Scheme, index_t Rows, index_t Width>
struct decoded_operand_of<quantized_matrix<Scheme, Rows, Width>> {
    static constexpr bool possible = true;
    static constexpr index_t columns = Width, depth = Rows;

    template <class T>
    static library_operand slice(quantized_matrix<Scheme, Rows, Width> const& w, index_t first, index_t count,
                                 T* to) {
        decode<Scheme, Width>(w.stored, 0, Rows, first, count, to);
        return {to, Rows, count, count, false};
    }
};
template <class Scheme, index_t Rows, index_t Width>
struct decoded_operand_of<transposed<quantized_matrix<Scheme, Rows, Width>>> {
    static constexpr bool possible = true;
    static constexpr index_t columns = Rows, depth = Width;

    template <class T>
    static library_operand slice(transposed<quantized_matrix<Scheme, Rows, Width>> const& w, index_t first,
                                 index_t count, T* to) {
        decode<Scheme, Width>(w.of.stored, first, count, 0, Width, to);
        return {to, count, Width, Width, true};
    }
};

/// The library does a product once its right operand is decoded to the left one's type.
template <class A, class B, class Store>
constexpr bool library_computes_decoded() {
    using left = library_operand_of<A>;
    if constexpr (left::possible && decoded_operand_of<B>::possible) {
        using T = typename left::element;
        // That the library has no algorithm for a slice would be known too late.
        return sizeof(T) <= 4 && !is_gradient_of_gelu<Store> &&
               library_computes<A, matrix<T const, decoded_operand_of<B>::columns>, Store>();
    } else {
        return false;
    }
}

/// store = a b, with what `library_computes_decoded` allows. The workspace begins with a slice of up to `Room` bytes.
template <std::int64_t Room = decoded_bytes, class A, class B, class Store>
void decoded_matmul(std::byte* workspace, Store const& store, product<A, B> factors) {
    using left = library_operand_of<A>;
    using right = decoded_operand_of<B>;
    using result = library_result_of<Store>;
    using T = typename left::element;
    using R = typename result::element;
    constexpr auto element = static_cast<std::int64_t>(sizeof(T));
    constexpr auto step = decoded_columns(right::columns, right::depth, element, Room);
    static library_plans plans;
    auto* const decoded = reinterpret_cast<T*>(workspace);
    auto* const further = workspace + decoded_slice_bytes(right::columns, right::depth, element, Room);
    for (index_t first = 0; first < right::columns; first += step) {
        auto const slice = right::slice(factors.b, first, std::min(step, right::columns - first), decoded);
        (void)library_product(plans, library_type<T>, library_type<R>, left::of(factors.a), slice,
                              result::of(store).columns_from(first, static_cast<std::int64_t>(sizeof(R))),
                              further);
    }
}

}  // namespace detail

}  // namespace snug::backend::cuda
