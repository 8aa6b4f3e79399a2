// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cublasLt.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <snug/backend/cuda/context.cuh>
#include <snug/backend/cuda/gemm_sizes.hpp>
#include <snug/error.hpp>
#include <snug/kernels/activations.hpp>
#include <snug/kernels/elementwise.hpp>
#include <snug/kernels/sinks.hpp>
#include <snug/ops/backend.hpp>
#include <snug/precision/bf16.hpp>
#include <snug/precision/fp16.hpp>
#include <snug/units.hpp>
#include <string>
#include <type_traits>

/// Products that cuBLASLt can do: one product of two plain matrices, whose result is stored, perhaps times a number, added to
/// another matrix or to what is there, with a bias or without, or stored times a GELU's derivative.
namespace snug::backend::cuda {

namespace detail {

template <class T>
inline constexpr cudaDataType_t library_type = CUDA_R_32F;
template <>
inline constexpr cudaDataType_t library_type<double> = CUDA_R_64F;
template <>
inline constexpr cudaDataType_t library_type<bf16> = CUDA_R_16BF;
template <>
inline constexpr cudaDataType_t library_type<fp16> = CUDA_R_16F;

inline char const* name_of(cudaDataType_t type) {
    switch (type) {
    case CUDA_R_64F: return "fp64";
    case CUDA_R_16BF: return "bf16";
    case CUDA_R_16F: return "fp16";
    default: return "fp32";
    }
}
constexpr std::int64_t size_of(cudaDataType_t type) {
    return type == CUDA_R_64F ? 8 : type == CUDA_R_32F ? 4 : 2;
}

/// A matrix of the library's types as an operand; row-major, `stride` elements from row to row, perhaps to be transposed.
struct library_operand {
    void const* data;
    std::int64_t rows, width, stride;
    bool is_transposed;

    constexpr std::int64_t outer_rows() const { return is_transposed ? width : rows; }
    constexpr std::int64_t outer_columns() const { return is_transposed ? rows : width; }
};

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

/// Where the library puts a result: d = scale · a b + (base, if any) + (bias, if any), or d = a b · gelu'(x) if there is an x;
/// base and x are laid out like d.
struct library_result {
    void* data;
    void const* base;
    void const* bias;
    void const* gelu_of;
    std::int64_t stride;
    double scale = 1;

    /// The columns from `first` on; an element has `size` bytes.
    library_result columns_from(std::int64_t first, std::int64_t size) const {
        auto const skipped = [&](void const* from) {
            return from == nullptr ? nullptr : static_cast<std::byte const*>(from) + first * size;
        };
        return {static_cast<std::byte*>(data) + first * size,
                skipped(base),
                skipped(bias),
                skipped(gelu_of),
                stride,
                scale};
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

/// All that the choice of an algorithm depends on.
struct library_problem {
    cudaDataType_t operands, result;
    bool left_transposed, right_transposed;
    cublasLtEpilogue_t epilogue;
    std::int64_t rows, columns, depth;
    std::int64_t left_stride, right_stride, result_stride;
    std::array<std::uint32_t, 4> alignment;  ///< of the right and the left operand, the base and the result
    std::int64_t workspace;                  ///< bytes

    bool operator==(library_problem const&) const = default;

    std::string text() const {
        return std::to_string(rows) + " x " + std::to_string(columns) + " x " + std::to_string(depth) + " (" +
               name_of(operands) + (left_transposed ? " transposed" : "") + ", " + name_of(operands) +
               (right_transposed ? " transposed" : "") + ", to " + name_of(result) +
               (epilogue == CUBLASLT_EPILOGUE_BIAS    ? ", bias)"
                : epilogue == CUBLASLT_EPILOGUE_DGELU ? ", gradient of GELU)"
                                                      : ")");
    }
};

inline void check(cublasStatus_t status, char const* call, library_problem const* problem = nullptr) {
    if (status == CUBLAS_STATUS_SUCCESS) return;
    int device = -1;
    (void)cudaGetDevice(&device);
    throw error({},
                std::string(call) + ": " + cublasLtGetStatusName(status) + " (" +
                    cublasLtGetStatusString(status) + ")" +
                    (problem ? " for a product of " + problem->text() : std::string()) + " on device " +
                    std::to_string(device),
                "success");
}

/// The bytes that a pointer is a multiple of, as far as the library cares: 16 or one element.
inline std::uint32_t alignment_of(void const* pointer, std::int64_t stride, cudaDataType_t type) {
    auto const element = static_cast<std::uint32_t>(size_of(type));
    auto const address = reinterpret_cast<std::uintptr_t>(pointer);
    bool const is_16 = address % 16 == 0 && stride * size_of(type) % 16 == 0;
    return is_16 ? 16u : element;
}

}  // namespace detail

/// cuBLASLt's handle; the first call makes it, which takes memory of the device, so `prepare` is to be the first. Like
/// `stream()` it is never destroyed.
inline cublasLtHandle_t library() {
    static cublasLtHandle_t const only = [] {
        (void)stream();
        cublasLtHandle_t made = nullptr;
        detail::check(cublasLtCreate(&made), "cublasLtCreate");
        return made;
    }();
    return only;
}

namespace detail {

/// A product as the library wants it, and the algorithm for it. The library counts rows and columns from the other side:
/// our row-major D = A B is its column-major Dᵀ = Bᵀ Aᵀ, so that its first operand is our right one, and its bias, one number
/// for each of its rows, is ours of one for each column.
class library_plan {
  public:
    library_problem problem{};
    /// The library has an algorithm. Without one for the gradient of GELU, which not every device and version have, there is
    /// another way; without one for anything else, an error.
    bool is_possible = false;

    void prepare(library_problem const& wanted, library_result const& d) {
        problem = {};  // so that a failure leaves nothing that looks usable
        bool const wide = wanted.operands == CUDA_R_64F;
        require(wanted, cublasLtMatmulDescInit(&operation_, wide ? CUBLAS_COMPUTE_64F : CUBLAS_COMPUTE_32F,
                                               wide ? CUDA_R_64F : CUDA_R_32F));
        describe(wanted, CUBLASLT_MATMUL_DESC_TRANSA, operation_of(wanted.right_transposed));
        describe(wanted, CUBLASLT_MATMUL_DESC_TRANSB, operation_of(wanted.left_transposed));
        describe(wanted, CUBLASLT_MATMUL_DESC_EPILOGUE, static_cast<std::uint32_t>(wanted.epilogue));
        if (d.bias != nullptr)
            describe(wanted, CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, static_cast<std::int32_t>(wanted.result));
        if (d.gelu_of != nullptr) describe(wanted, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD, d.stride);
        point_epilogue(wanted, d);
        lay_out(wanted, right_, wanted.operands, wanted.columns, wanted.depth, wanted.right_transposed,
                wanted.right_stride);
        lay_out(wanted, left_, wanted.operands, wanted.depth, wanted.rows, wanted.left_transposed,
                wanted.left_stride);
        lay_out(wanted, result_, wanted.result, wanted.columns, wanted.rows, false, wanted.result_stride);
        choose(wanted);
        problem = wanted;
    }

    void run(library_operand const& a, library_operand const& b, library_result const& d,
             std::byte* workspace) {
        point_epilogue(problem, d);
        bool const wide = problem.operands == CUDA_R_64F;
        double const numbers[] = {d.scale, d.base != nullptr ? 1.0 : 0.0};
        float const short_numbers[] = {static_cast<float>(numbers[0]), static_cast<float>(numbers[1])};
        auto const number = [&](int which) {
            return wide ? static_cast<void const*>(&numbers[which])
                        : static_cast<void const*>(&short_numbers[which]);
        };
        require(problem,
                cublasLtMatmul(library(), &operation_, number(0), b.data, &right_, a.data, &left_, number(1),
                               d.base ? d.base : d.data, &result_, d.data, &result_, &algorithm_, workspace,
                               static_cast<std::size_t>(problem.workspace), stream()),
                "cublasLtMatmul");
    }

  private:
    static void require(library_problem const& wanted, cublasStatus_t status,
                        char const* call = "describing a product to cuBLASLt") {
        check(status, call, &wanted);
    }
    static constexpr std::int32_t operation_of(bool is_transposed) {
        return is_transposed ? CUBLAS_OP_T : CUBLAS_OP_N;
    }
    template <class T>
    void describe(library_problem const& wanted, cublasLtMatmulDescAttributes_t which, T value) {
        require(wanted, cublasLtMatmulDescSetAttribute(&operation_, which, &value, sizeof value));
    }
    void point_epilogue(library_problem const& wanted, library_result const& d) {
        if (d.bias != nullptr) describe(wanted, CUBLASLT_MATMUL_DESC_BIAS_POINTER, d.bias);
        if (d.gelu_of != nullptr) describe(wanted, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER, d.gelu_of);
    }
    template <class T>
    static void prefer(library_problem const& wanted, cublasLtMatmulPreferenceOpaque_t& preference,
                       cublasLtMatmulPreferenceAttributes_t which, T value) {
        require(wanted, cublasLtMatmulPreferenceSetAttribute(&preference, which, &value, sizeof value));
    }
    /// An operand that is rows x columns after the library's operation on it.
    static void lay_out(library_problem const& wanted, cublasLtMatrixLayoutOpaque_t& layout,
                        cudaDataType_t type, std::int64_t rows, std::int64_t columns, bool is_transposed,
                        std::int64_t stride) {
        if (is_transposed) std::swap(rows, columns);
        require(wanted, cublasLtMatrixLayoutInit(&layout, type, static_cast<std::uint64_t>(rows),
                                                 static_cast<std::uint64_t>(columns), stride));
    }

    void choose(library_problem const& wanted) {
        cublasLtMatmulPreferenceOpaque_t preference;
        require(wanted, cublasLtMatmulPreferenceInit(&preference));
        prefer(wanted, preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES,
               static_cast<std::uint64_t>(wanted.workspace));
        // Split sums only where a step of its own adds the parts, in compute type: the others round parts to the type of the
        // result, and one of them in the order in which blocks finish.
        prefer(wanted, preference, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK,
               std::uint32_t{CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE});
        prefer(wanted, preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, wanted.alignment[0]);
        prefer(wanted, preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, wanted.alignment[1]);
        prefer(wanted, preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, wanted.alignment[2]);
        prefer(wanted, preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, wanted.alignment[3]);
        cublasLtMatmulHeuristicResult_t found{};
        int count = 0;
        auto status = cublasLtMatmulAlgoGetHeuristic(library(), &operation_, &right_, &left_, &result_,
                                                     &result_, &preference, 1, &found, &count);
        if (status == CUBLAS_STATUS_SUCCESS) status = count > 0 ? found.state : CUBLAS_STATUS_NOT_SUPPORTED;
        is_possible = status == CUBLAS_STATUS_SUCCESS;
        if (status != CUBLAS_STATUS_NOT_SUPPORTED || wanted.epilogue != CUBLASLT_EPILOGUE_DGELU)
            require(wanted, status, "cublasLtMatmulAlgoGetHeuristic");
        algorithm_ = found.algo;
    }

    cublasLtMatmulDescOpaque_t operation_{};
    cublasLtMatrixLayoutOpaque_t right_{}, left_{}, result_{};
    cublasLtMatmulAlgo_t algorithm_{};
};

/// The plans of the latest shapes of one kind of product: how many rows the operands have changes at run time, the rest is in
/// the types. In place, so that a step that has seen its shapes allocates nothing.
class library_plans {
  public:
    library_plan& plan_for(library_problem const& problem, library_result const& d) {
        for (auto& plan : plans_)
            if (plan.problem == problem) return plan;
        auto& oldest = plans_[next_];
        next_ = (next_ + 1) % plans_.size();
        oldest.prepare(problem, d);
        return oldest;
    }

  private:
    std::array<library_plan, 16> plans_{};
    std::size_t next_ = 0;
};

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
inline void const* aligned_bias(void const* bias, std::int64_t bytes, library_room& room) {
    if (reinterpret_cast<std::uintptr_t>(bias) % 16 == 0) return bias;
    auto* const copy = room.take(bytes);
    cuda::check(
        cudaMemcpyAsync(copy, bias, static_cast<std::size_t>(bytes), cudaMemcpyDeviceToDevice, stream()),
        "cudaMemcpyAsync");
    return copy;
}

/// False, and nothing done, if the library cannot do it (see `library_plan::is_possible`).
inline bool library_product(library_plans& plans, cudaDataType_t operands, cudaDataType_t result,
                            library_operand const& a, library_operand const& b, library_result d,
                            std::byte* workspace) {
    auto const rows = a.outer_rows(), columns = b.outer_columns();
    if (rows == 0 || columns == 0) return true;
    library_room room(workspace);
    d.bias = aligned_bias(d.bias, columns * size_of(result), room);
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
    auto& plan = plans.plan_for(problem, d);
    if (plan.is_possible) plan.run(a, b, d, room.first);
    return plan.is_possible;
}

}  // namespace detail

/// store = a b by the library, for what `detail::library_computes` says it can. False, and nothing done, if it turns out that it
/// cannot: only with the gradient of GELU.
template <class A, class B, class Store>
bool library_matmul(std::byte* workspace, Store const& store, product<A, B> factors) {
    using left = detail::library_operand_of<A>;
    using right = detail::library_operand_of<B>;
    using result = detail::library_result_of<Store>;
    static detail::library_plans plans;
    return detail::library_product(plans, detail::library_type<typename left::element>,
                                   detail::library_type<typename result::element>, left::of(factors.a),
                                   right::of(factors.b), result::of(store), workspace);
}

}  // namespace snug::backend::cuda
