// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cublasLt.h>
#include <cuda_runtime.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <snug/error.hpp>
#include <string>
#include <utility>

/// A product as cuBLASLt wants it described, and the algorithm that it chose: known once for each shape.
namespace snug::SNUG_TARGET::backend::cuda::detail {

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

/// A matrix of the library's types as an operand; row-major, `stride` elements from row to row, perhaps to be
/// transposed.
struct library_operand {
    void const* data;
    std::int64_t rows, width, stride;
    bool is_transposed;

    constexpr std::int64_t outer_rows() const { return is_transposed ? width : rows; }
    constexpr std::int64_t outer_columns() const { return is_transposed ? rows : width; }
};

/// Where the library puts a result: d = scale · a b + (base, if any) + (bias, if any), or d = a b · gelu'(x)
/// if there is an x; base and x are laid out like d.
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

/// A product as the library wants it, and the algorithm for it. The library counts rows and columns from the
/// other side: our row-major D = A B is its column-major Dᵀ = Bᵀ Aᵀ, so that its first operand is our right
/// one, and its bias, one number for each of its rows, is ours of one for each column.
class library_plan {
  public:
    library_problem problem{};
    /// The library has an algorithm. Without one for the gradient of GELU, which not every device and version
    /// have, there is another way; without one for anything else, an error.
    bool is_possible = false;

    void prepare(cublasLtHandle_t library, library_problem const& wanted, library_result const& d) {
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
        choose(library, wanted);
        problem = wanted;
    }

    void run(cublasLtHandle_t library, cudaStream_t stream, library_operand const& a,
             library_operand const& b, library_result const& d, std::byte* workspace) {
        point_epilogue(problem, d);
        bool const wide = problem.operands == CUDA_R_64F;
        double const numbers[] = {d.scale, d.base != nullptr ? 1.0 : 0.0};
        float const short_numbers[] = {static_cast<float>(numbers[0]), static_cast<float>(numbers[1])};
        auto const number = [&](int which) {
            return wide ? static_cast<void const*>(&numbers[which])
                        : static_cast<void const*>(&short_numbers[which]);
        };
        require(problem,
                cublasLtMatmul(library, &operation_, number(0), b.data, &right_, a.data, &left_, number(1),
                               d.base ? d.base : d.data, &result_, d.data, &result_, &algorithm_, workspace,
                               static_cast<std::size_t>(problem.workspace), stream),
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

    void choose(cublasLtHandle_t library, library_problem const& wanted) {
        cublasLtMatmulPreferenceOpaque_t preference;
        require(wanted, cublasLtMatmulPreferenceInit(&preference));
        prefer(wanted, preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES,
               static_cast<std::uint64_t>(wanted.workspace));
        // Split sums only where a step of its own adds the parts, in compute type: the others round parts to
        // the type of the result, and one of them in the order in which blocks finish.
        prefer(wanted, preference, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK,
               std::uint32_t{CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE});
        prefer(wanted, preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, wanted.alignment[0]);
        prefer(wanted, preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, wanted.alignment[1]);
        prefer(wanted, preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, wanted.alignment[2]);
        prefer(wanted, preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, wanted.alignment[3]);
        cublasLtMatmulHeuristicResult_t found{};
        int count = 0;
        auto status = cublasLtMatmulAlgoGetHeuristic(library, &operation_, &right_, &left_, &result_,
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

/// The plans of the latest shapes of one kind of product: how many rows the operands have changes at run
/// time, the rest is in the types. In place, so that a step that has seen its shapes allocates nothing.
class library_plans {
  public:
    library_plan& plan_for(cublasLtHandle_t library, library_problem const& problem,
                           library_result const& d) {
        for (auto& plan : plans_)
            if (plan.problem == problem) return plan;
        auto& oldest = plans_[next_];
        next_ = (next_ + 1) % plans_.size();
        oldest.prepare(library, problem, d);
        return oldest;
    }

  private:
    std::array<library_plan, 16> plans_{};
    std::size_t next_ = 0;
};

}  // namespace snug::SNUG_TARGET::backend::cuda::detail
