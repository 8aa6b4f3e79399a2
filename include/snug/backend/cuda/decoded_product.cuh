// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cuda_runtime.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <snug/backend/cuda/cublaslt.cuh>
#include <snug/backend/cuda/gemm.cuh>
#include <snug/backend/cuda/gemm_sizes.hpp>
#include <snug/backend/cuda/launch.cuh>
#include <snug/memory/tensor.hpp>
#include <snug/ops/matmul.hpp>
#include <utility>

/// Products of many rows with a quantized operand: slices of it are decoded into the workspace, and the library multiplies with
/// them. The values are those that snug's own kernels decode on the way.
namespace snug::SNUG_TARGET::backend::cuda {

namespace detail {

/// A thread decodes `pieces` pieces of neighbours, those of a block one after the other.
struct decoding {
    static constexpr int threads = 256;
    static constexpr int pieces = 2;
    static constexpr int piece = 8;
    static constexpr int block_elements = threads * pieces * piece;
};

/// Elements [first_element, first_element + elements) of lines from `first_line` on, decoded to rows of `elements`. Blocks: (lines,
/// parts of a line).
template <class T, class Lines>
__global__ void __launch_bounds__(decoding::threads)
    decode_lines(Lines lines, index_t first_line, index_t first_element, int elements, T* to) {
    using from = typename Lines::from;
    __shared__ float table[std::max(Lines::table_size, 1)];
    if constexpr (Lines::table_size > 0) {
        static_assert(Lines::table_size <= decoding::threads);
        if (threadIdx.x < Lines::table_size) table[threadIdx.x] = lines.numbers()[threadIdx.x];
        __syncthreads();
    }
    index_t const line = first_line + static_cast<index_t>(blockIdx.x);
    T* const target = to + static_cast<index_t>(blockIdx.x) * elements;
    int const first = static_cast<int>(blockIdx.y) * decoding::block_elements;
    if constexpr (Lines::at_once > 0) {
        // Slices begin at multiples of 8, and such pieces never cross a block of the scheme.
        typename from::template some<decoding::piece> codes[decoding::pieces];
        auto const element = [&](int j) {
            return first + (j * decoding::threads + static_cast<int>(threadIdx.x)) * decoding::piece;
        };
#pragma unroll
        for (int j = 0; j < decoding::pieces; ++j)
            if (element(j) < elements)
                from::read(codes[j], lines.stored, line * Lines::length + first_element + element(j));
#pragma unroll
        for (int j = 0; j < decoding::pieces; ++j)
            if (element(j) < elements) {
                if constexpr (sizeof(T) == 2) {
                    *reinterpret_cast<uint4*>(target + element(j)) =
                        eight_rounded_to<T, from>(codes[j], 0, table);
                } else {
                    auto const number = [&](int i) { return from::number(codes[j], i, table); };
                    auto* const eight = reinterpret_cast<float4*>(target + element(j));
                    eight[0] = {number(0), number(1), number(2), number(3)};
                    eight[1] = {number(4), number(5), number(6), number(7)};
                }
            }
    } else {
#pragma unroll 1
        for (int i = first + static_cast<int>(threadIdx.x);
             i < min(elements, first + decoding::block_elements); i += decoding::threads) {
            float const value = lines.value(line, first_element + i, table);
            if constexpr (sizeof(T) == 2) target[i] = rounded_to<T>(value);
            else target[i] = value;
        }
    }
}

/// `count` columns of the right operand of a product from `first` on, decoded: lines of it if these lie along the depth, else a part
/// of every line.
template <class T, class Lines>
library_operand decoded_slice(tag on, Lines const& lines, index_t first, index_t count, T* to) {
    constexpr bool whole = Lines::along_depth;
    index_t const some_lines = whole ? count : Lines::lines, elements = whole ? Lines::length : count;
    auto const parts = (elements + decoding::block_elements - 1) / decoding::block_elements;
    launch(on, &decode_lines<T, Lines>, dim3(static_cast<unsigned>(some_lines), static_cast<unsigned>(parts)),
           decoding::threads, 0, lines, whole ? first : 0, whole ? 0 : first, static_cast<int>(elements), to);
    return {to, some_lines, elements, elements, whole};
}

/// A right operand has to be decoded.
template <class B>
inline constexpr bool is_decoded = is_quantized<decltype(right_lines(std::declval<B>()))>;

/// The library does a product once its right operand is decoded to the left one's type.
template <class A, class B, class Store>
constexpr bool library_computes_decoded() {
    using left = library_operand_of<A>;
    if constexpr (left::possible && is_decoded<B>) {
        using T = typename left::element;
        // That the library has no algorithm for a slice would be known too late.
        return sizeof(T) <= 4 && !is_gradient_of_gelu<Store> &&
               library_computes<A, matrix<T const, 8>, Store>();
    } else {
        return false;
    }
}

/// store = a b, with what `library_computes_decoded` allows. The workspace begins with a slice of up to `Room` bytes.
template <std::int64_t Room = decoded_bytes, class A, class B, class Store>
void decoded_matmul(tag on, std::byte* workspace, Store const& store, product<A, B> factors) {
    using left = library_operand_of<A>;
    using result = library_result_of<Store>;
    using T = typename left::element;
    using R = typename result::element;
    auto const lines = right_lines(factors.b);
    constexpr auto columns = known_columns<decltype(right_lines(factors.b))>();
    constexpr auto depth = decltype(right_lines(factors.b))::depth();
    constexpr auto element = static_cast<std::int64_t>(sizeof(T));
    constexpr auto step = decoded_columns(columns, depth, element, Room);
    static constexpr char kind{};
    auto* const further = workspace + decoded_slice_bytes(columns, depth, element, Room);
    for (index_t first = 0; first < columns; first += step) {
        auto const slice =
            decoded_slice(on, lines, first, std::min(step, columns - first), reinterpret_cast<T*>(workspace));
        (void)library_product(on, &kind, library_type<T>, library_type<R>, left::of(factors.a), slice,
                              result::of(store).columns_from(first, static_cast<std::int64_t>(sizeof(R))),
                              further);
    }
}

}  // namespace detail

}  // namespace snug::SNUG_TARGET::backend::cuda
