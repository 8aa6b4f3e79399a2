// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cublasLt.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <snug/backend/cuda/context.cuh>
#include <snug/backend/cuda/gemm_sizes.hpp>
#include <snug/backend/cuda/library_plan.cuh>
#include <snug/backend/cuda/tag.hpp>
#include <snug/kernels/activations.hpp>
#include <snug/kernels/elementwise.hpp>
#include <snug/kernels/sinks.hpp>
#include <snug/ops/matmul.hpp>
#include <snug/precision/bf16.hpp>
#include <snug/precision/fp16.hpp>
#include <snug/units.hpp>
#include <type_traits>

/// Products that cuBLASLt can do: one product of two plain matrices, whose result is stored, perhaps times a number, added to
/// another matrix or to what is there, with a bias or without, or stored times a GELU's derivative.
namespace snug::SNUG_TARGET::backend::cuda {

namespace detail {

template <class T>
inline constexpr cudaDataType_t library_type = CUDA_R_32F;
template <>
inline constexpr cudaDataType_t library_type<double> = CUDA_R_64F;
template <>
inline constexpr cudaDataType_t library_type<bf16> = CUDA_R_16BF;
template <>
inline constexpr cudaDataType_t library_type<fp16> = CUDA_R_16F;

template <class Operand>
struct library_operand_of {
    static constexpr bool possible = false;
};
template <class T, index_t Width, index_t Stride>
struct library_operand_of<matrix<T, Width, Stride>> {
    using element = std::remove_const_t<T>;
    static constexpr bool possible = std::is_same_v<element, float> || std::is_same_v<element, double> ||
                                     std::is_same_v<element, bf16> || std::is_same_v<element, fp16>;
    static constexpr library_operand of(matrix<T, Width, Stride> m) {
        return {m.data, m.rows, Width, Stride, false};
    }
};
template <class T, index_t Width, index_t Stride>
struct library_operand_of<transposed<matrix<T, Width, Stride>>>
    : library_operand_of<matrix<T, Width, Stride>> {
    static constexpr library_operand of(transposed<matrix<T, Width, Stride>> m) {
        return {m.of.data, m.of.rows, Width, Stride, true};
    }
};

template <class Store>
struct library_result_of {
    static constexpr bool possible = false;
};
template <class T, index_t Width, index_t Stride>
struct library_result_of<written<T, Width, Stride>> {
    using element = T;
    static constexpr bool possible = library_operand_of<matrix<T, Width>>::possible;
    static constexpr bool has_bias = false;
    static constexpr library_result of(written<T, Width, Stride> const& y) {
        return {y.to.data, nullptr, nullptr, nullptr, Stride};
    }
};
template <class T, index_t Width>
struct library_result_of<added<T, Width>> {
    using element = T;
    static constexpr bool possible = library_operand_of<matrix<T, Width>>::possible;
    static constexpr bool has_bias = false;
    static constexpr library_result of(added<T, Width> const& y) {
        return {y.to.data, y.base.data, nullptr, nullptr, Width};
    }
};
template <class T, index_t Width, index_t Stride>
struct library_result_of<accumulated<T, Width, Stride>> {
    using element = T;
    static constexpr bool possible = library_operand_of<matrix<T, Width>>::possible;
    static constexpr bool has_bias = false;
    static constexpr library_result of(accumulated<T, Width, Stride> const& y) {
        return {y.to.data, y.to.data, nullptr, nullptr, Stride};
    }
};
template <class T, index_t Width, index_t Stride>
struct library_result_of<scaled<written<T, Width, Stride>>> : library_result_of<written<T, Width, Stride>> {
    static library_result of(scaled<written<T, Width, Stride>> const& y) {
        auto result = library_result_of<written<T, Width, Stride>>::of(y.to);
        result.scale = y.factor;
        return result;
    }
};
template <class T, index_t Width>
struct library_result_of<with_addend<written<T, Width>, T>> : library_result_of<written<T, Width>> {
    static constexpr library_result of(with_addend<written<T, Width>, T> const& y) {
        return {y.to.to.data, y.addend.data, nullptr, nullptr, Width};
    }
};
/// The one result for which the library may turn out to have no algorithm.
template <class Store>
inline constexpr bool is_gradient_of_gelu = false;
template <class S, class T, index_t Width>
inline constexpr bool is_gradient_of_gelu<kernels::times_derivative<kernels::gelu_function, S, T, Width>> =
    true;
/// The library wants rows of x that are multiples of 8 elements; for other types than those of 16 bits it promises nothing.
template <class S, class T, index_t Width>
struct library_result_of<kernels::times_derivative<kernels::gelu_function, S, T, Width>> {
    using element = T;
    static constexpr bool possible =
        library_operand_of<matrix<T, Width>>::possible && sizeof(T) == 2 && Width % 8 == 0;
    static constexpr bool has_bias = false;
    static constexpr library_result of(
        kernels::times_derivative<kernels::gelu_function, S, T, Width> const& y) {
        return {y.to.data, nullptr, nullptr, y.x.data, Width};
    }
};
template <class Sink, class Bias>
struct library_result_of<with_bias<Sink, Bias>> {
    using to = library_result_of<Sink>;
    static constexpr bool possible = [] {
        // The library's bias has the type of the result, it documents none for fp64, and for rows of 16-bit numbers that
        // are not multiples of 16 bytes it may have no algorithm.
        if constexpr (to::possible) {
            using T = typename to::element;
            return std::is_same_v<T, std::remove_const_t<Bias>> && !std::is_same_v<T, double> &&
                   !to::has_bias && (sizeof(T) > 2 || Sink::width % 8 == 0);
        } else return false;
    }();
    using element = std::remove_const_t<Bias>;
    static constexpr bool has_bias = true;
    static constexpr library_result of(with_bias<Sink, Bias> const& y) {
        auto result = to::of(y.to);
        result.bias = y.bias;
        return result;
    }
};

/// The documented combinations of types: all alike, or 16-bit operands with an fp32 result.
template <class A, class B, class Store>
constexpr bool library_computes() {
    using left = library_operand_of<A>;
    using right = library_operand_of<B>;
    using result = library_result_of<Store>;
    if constexpr (left::possible && right::possible && result::possible) {
        using T = typename left::element;
        return std::is_same_v<T, typename right::element> &&
               (std::is_same_v<T, typename result::element> ||
                (sizeof(T) == 2 && std::is_same_v<typename result::element, float>));
    } else {
        return false;
    }
}

/// The bytes that a pointer is a multiple of, as far as the library cares: 16 or one element.
inline std::uint32_t alignment_of(void const* pointer, std::int64_t stride, cudaDataType_t type) {
    auto const element = static_cast<std::uint32_t>(size_of(type));
    auto const address = reinterpret_cast<std::uintptr_t>(pointer);
    bool const is_16 = address % 16 == 0 && stride * size_of(type) % 16 == 0;
    return is_16 ? 16u : element;
}

/// The part of a workspace that the library may use: from a multiple of `library_workspace_alignment` on.
struct library_room {
    std::byte* first;
    std::int64_t size;

    explicit library_room(std::byte* workspace) : first(workspace), size(library_workspace_usable) {
        constexpr auto to = static_cast<std::uintptr_t>(library_workspace_alignment);
        first += (to - reinterpret_cast<std::uintptr_t>(workspace) % to) % to;
    }
    std::byte* take(std::int64_t bytes) {
        auto* const result = first;
        first += round_up(bytes, library_workspace_alignment);
        size -= round_up(bytes, library_workspace_alignment);
        return result;
    }
};

/// The library wants a bias at a multiple of 16, which a small one among other parameters may miss: then it gets a copy.
inline void const* aligned_bias(tag on, void const* bias, std::int64_t bytes, library_room& room) {
    if (reinterpret_cast<std::uintptr_t>(bias) % 16 == 0) return bias;
    auto* const copy = room.take(bytes);
    cuda::check(
        cudaMemcpyAsync(copy, bias, static_cast<std::size_t>(bytes), cudaMemcpyDeviceToDevice, stream(on)),
        "cudaMemcpyAsync");
    return copy;
}

/// `kind` stands for the kind of product: an address of its own for each. False, and nothing done, if the
/// library cannot do it (see `library_plan::is_possible`).
inline bool library_product(tag on, void const* kind, cudaDataType_t operands, cudaDataType_t result,
                            library_operand const& a, library_operand const& b, library_result d,
                            std::byte* workspace) {
    auto const rows = a.outer_rows(), columns = b.outer_columns();
    if (rows == 0 || columns == 0) return true;
    library_room room(workspace);
    d.bias = aligned_bias(on, d.bias, columns * size_of(result), room);
    library_problem const problem{
        operands,
        result,
        a.is_transposed,
        b.is_transposed,
        d.bias != nullptr      ? CUBLASLT_EPILOGUE_BIAS
        : d.gelu_of != nullptr ? CUBLASLT_EPILOGUE_DGELU
                               : CUBLASLT_EPILOGUE_DEFAULT,
        rows,
        columns,
        a.outer_columns(),
        a.stride,
        b.stride,
        d.stride,
        {alignment_of(b.data, b.stride, operands), alignment_of(a.data, a.stride, operands),
         alignment_of(d.base ? d.base : d.data, d.stride, result), alignment_of(d.data, d.stride, result)},
        room.size};
    auto& state = execution_of(on);
    auto& plan = state.plans(kind).plan_for(state.library(), problem, d);
    if (plan.is_possible) plan.run(state.library(), state.stream(), a, b, d, room.first);
    return plan.is_possible;
}

}  // namespace detail

/// store = a b by the library, for what `detail::library_computes` says it can. False, and nothing done, if it turns out that it
/// cannot: only with the gradient of GELU.
template <class A, class B, class Store>
bool library_matmul(tag on, std::byte* workspace, Store const& store, product<A, B> factors) {
    using left = detail::library_operand_of<A>;
    using right = detail::library_operand_of<B>;
    using result = detail::library_result_of<Store>;
    static constexpr char kind{};
    return detail::library_product(on, &kind, detail::library_type<typename left::element>,
                                   detail::library_type<typename result::element>, left::of(factors.a),
                                   right::of(factors.b), result::of(store), workspace);
}

}  // namespace snug::SNUG_TARGET::backend::cuda
