// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cuda_runtime.h>

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <string>

/// A stand-in for NVIDIA's header of this name, for tests: matrix products as it documents them, computed in double. Names
/// and values are the header's (13.1). What the documentation forbids is answered with the documented status and a line on
/// stderr that says why.
enum cublasStatus_t {
    CUBLAS_STATUS_SUCCESS = 0,
    CUBLAS_STATUS_NOT_INITIALIZED = 1,
    CUBLAS_STATUS_ALLOC_FAILED = 3,
    CUBLAS_STATUS_INVALID_VALUE = 7,
    CUBLAS_STATUS_ARCH_MISMATCH = 8,
    CUBLAS_STATUS_EXECUTION_FAILED = 13,
    CUBLAS_STATUS_INTERNAL_ERROR = 14,
    CUBLAS_STATUS_NOT_SUPPORTED = 15
};
enum cublasOperation_t { CUBLAS_OP_N = 0, CUBLAS_OP_T = 1 };
enum cublasComputeType_t {
    CUBLAS_COMPUTE_32F = 68,
    CUBLAS_COMPUTE_32F_FAST_TF32 = 77,
    CUBLAS_COMPUTE_64F = 70
};
enum cudaDataType_t { CUDA_R_32F = 0, CUDA_R_64F = 1, CUDA_R_16F = 2, CUDA_R_16BF = 14 };
using cudaDataType = cudaDataType_t;
enum cublasLtEpilogue_t {
    CUBLASLT_EPILOGUE_DEFAULT = 1,
    CUBLASLT_EPILOGUE_BIAS = 4,
    CUBLASLT_EPILOGUE_DGELU = 192
};
enum cublasLtReductionScheme_t {
    CUBLASLT_REDUCTION_SCHEME_NONE = 0,
    CUBLASLT_REDUCTION_SCHEME_INPLACE = 1,
    CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE = 2,
    CUBLASLT_REDUCTION_SCHEME_OUTPUT_TYPE = 4,
    CUBLASLT_REDUCTION_SCHEME_MASK = 7
};
enum cublasLtMatmulDescAttributes_t {
    CUBLASLT_MATMUL_DESC_TRANSA = 3,
    CUBLASLT_MATMUL_DESC_TRANSB = 4,
    CUBLASLT_MATMUL_DESC_EPILOGUE = 7,
    CUBLASLT_MATMUL_DESC_BIAS_POINTER = 8,
    CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER = 11,
    CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD = 12,
    CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE = 26
};
enum cublasLtMatmulPreferenceAttributes_t {
    CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES = 1,
    CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK = 3,
    CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES = 5,
    CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES = 6,
    CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES = 7,
    CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES = 8
};

namespace emulation::lt {

inline constexpr std::uint64_t alive = 0x5ca1ab1e0ddba11ull;

struct context {
    std::uint64_t state;
};
struct layout {
    std::uint64_t state;
    cudaDataType_t type;
    std::uint64_t rows, columns;
    std::int64_t leading;

    bool operator==(layout const&) const = default;
};
struct description {
    std::uint64_t state;
    cublasComputeType_t compute;
    cudaDataType_t scale;
    std::int32_t transpose_a, transpose_b;
    std::uint32_t epilogue;
    void const* bias;
    std::int32_t bias_type;
    void const* aux;
    std::int64_t aux_leading;
};
struct preference {
    std::uint64_t state;
    std::uint64_t workspace;
    std::uint32_t reductions, alignment[4];
};
/// What an algorithm was chosen for; a call has to be like it.
struct algorithm {
    std::uint64_t state;
    layout a, b, c, d;
    std::uint64_t workspace;
    std::uint32_t alignment[4];
    std::uint32_t bias_alignment;
    std::uint32_t epilogue, aux_alignment;
    std::int32_t transpose_a, transpose_b;
};

/// What tests may look at and change.
struct counters {
    std::int64_t products = 0, searches = 0;
    std::uint64_t most_workspace = 16384;              ///< that an algorithm uses of what it may
    cublasStatus_t fail_next = CUBLAS_STATUS_SUCCESS;  ///< the next product's answer
    bool knows_gelu = true;                            ///< an algorithm for its gradient
};
inline counters& counted() {
    static counters only;
    return only;
}

inline cublasStatus_t refuse(cublasStatus_t status, std::string const& why) {
    std::fprintf(stderr, "emulated cuBLASLt refuses: %s\n", why.c_str());
    return status;
}
inline cublasStatus_t invalid(std::string const& why) { return refuse(CUBLAS_STATUS_INVALID_VALUE, why); }

inline std::size_t size_of(cudaDataType_t type) {
    switch (type) {
    case CUDA_R_64F: return 8;
    case CUDA_R_32F: return 4;
    case CUDA_R_16F:
    case CUDA_R_16BF: return 2;
    }
    return 0;
}

inline double read(void const* base, cudaDataType_t type, std::int64_t i) {
    auto const half = [&] { return static_cast<std::uint16_t const*>(base)[i]; };
    switch (type) {
    case CUDA_R_64F: return static_cast<double const*>(base)[i];
    case CUDA_R_32F: return double{static_cast<float const*>(base)[i]};
    case CUDA_R_16BF: return double{std::bit_cast<float>(std::uint32_t{half()} << 16)};
    case CUDA_R_16F: return static_cast<double>(std::bit_cast<_Float16>(half()));
    }
    return 0;
}
inline void write(void* base, cudaDataType_t type, std::int64_t i, double value) {
    auto& half = static_cast<std::uint16_t*>(base)[i];
    switch (type) {
    case CUDA_R_64F: static_cast<double*>(base)[i] = value; return;
    case CUDA_R_32F: static_cast<float*>(base)[i] = static_cast<float>(value); return;
    case CUDA_R_16F:
        half = std::bit_cast<std::uint16_t>(static_cast<_Float16>(static_cast<float>(value)));
        return;
    case CUDA_R_16BF: {
        auto const bits = std::bit_cast<std::uint32_t>(static_cast<float>(value));
        bool const is_nan = (bits & 0x7FFFFFFFu) > 0x7F800000u;
        half =
            static_cast<std::uint16_t>(is_nan ? bits >> 16 | 0x40 : (bits + 0x7FFF + (bits >> 16 & 1)) >> 16);
    }
    }
}

/// The documented table of types, without bias.
inline bool supported(description const& d, layout const& a, layout const& b, layout const& c,
                      layout const& r) {
    if (a.type != b.type || c.type != r.type) return false;
    if (d.compute == CUBLAS_COMPUTE_64F)
        return d.scale == CUDA_R_64F && a.type == CUDA_R_64F && c.type == CUDA_R_64F;
    if (d.scale != CUDA_R_32F || a.type == CUDA_R_64F) return false;
    return c.type == a.type || (a.type != CUDA_R_32F && c.type == CUDA_R_32F);
}

inline cublasStatus_t check(description const& d, layout const& a, layout const& b, layout const& c,
                            layout const& r) {
    if (d.state != alive) return invalid("operation descriptor is not initialized");
    layout const* const all[] = {&a, &b, &c, &r};
    for (auto const* l : all) {
        if (l->state != alive) return invalid("a layout is not initialized");
        if (l->rows == 0 || l->columns == 0) return invalid("a matrix is empty");
        if (l->leading < static_cast<std::int64_t>(l->rows))
            return invalid("leading dimension " + std::to_string(l->leading) + " of " +
                           std::to_string(l->rows) + " rows (column-major)");
    }
    auto const m = d.transpose_a ? a.columns : a.rows, ka = d.transpose_a ? a.rows : a.columns;
    auto const n = d.transpose_b ? b.rows : b.columns, kb = d.transpose_b ? b.columns : b.rows;
    if (ka != kb || m != r.rows || n != r.columns || c.rows != r.rows || c.columns != r.columns)
        return invalid("shapes do not fit: op(A) " + std::to_string(m) + " x " + std::to_string(ka) +
                       ", op(B) " + std::to_string(kb) + " x " + std::to_string(n) + ", D " +
                       std::to_string(r.rows) + " x " + std::to_string(r.columns));
    if (!supported(d, a, b, c, r)) return refuse(CUBLAS_STATUS_NOT_SUPPORTED, "types");
    if (d.epilogue == CUBLASLT_EPILOGUE_BIAS) {
        if (!d.bias) return invalid("bias epilogue without a bias");
        if (d.bias_type != -1 && d.bias_type != static_cast<std::int32_t>(r.type))
            return refuse(CUBLAS_STATUS_NOT_SUPPORTED, "bias of another type than D");
        if (r.type == CUDA_R_64F) return refuse(CUBLAS_STATUS_NOT_SUPPORTED, "bias of double");
    } else if (d.epilogue == CUBLASLT_EPILOGUE_DGELU) {
        if (!d.aux) return invalid("gradient of GELU without its input");
        if (d.aux_leading % 8 != 0 || d.aux_leading < static_cast<std::int64_t>(r.rows))
            return invalid("leading dimension " + std::to_string(d.aux_leading) + " of GELU's input");
        if (size_of(r.type) != 2 || a.type != r.type || !counted().knows_gelu)
            return refuse(CUBLAS_STATUS_NOT_SUPPORTED,
                          "gradient of GELU of other types than those of 16 bits");
    } else if (d.epilogue != CUBLASLT_EPILOGUE_DEFAULT) {
        return refuse(CUBLAS_STATUS_NOT_SUPPORTED, "epilogue " + std::to_string(d.epilogue));
    }
    return CUBLAS_STATUS_SUCCESS;
}

/// Of x/2 (1 + tanh(u)), with u = √(2/π) (x + 0.044715 x³). As the library's kernels have it, the instruction tanh.approx, with
/// 11 bits of a result.
inline double gelu_derivative(double x) {
    double const c = std::sqrt(2 / 3.14159265358979323846);
    int exponent = 0;
    double const part = std::frexp(std::tanh(c * (x + 0.044715 * x * x * x)), &exponent);
    double const t = std::ldexp(std::nearbyint(part * 2048) / 2048, exponent);
    return 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * c * (1 + 3 * 0.044715 * x * x);
}

inline std::uint32_t alignment_of(void const* pointer) {
    auto const address = reinterpret_cast<std::uintptr_t>(pointer);
    return address == 0 ? 256 : static_cast<std::uint32_t>(std::min<std::uintptr_t>(address & -address, 256));
}

}  // namespace emulation::lt

using cublasLtHandle_t = emulation::lt::context*;
using cublasLtMatrixLayoutOpaque_t = emulation::lt::layout;
using cublasLtMatrixLayout_t = emulation::lt::layout*;
using cublasLtMatmulDescOpaque_t = emulation::lt::description;
using cublasLtMatmulDesc_t = emulation::lt::description*;
using cublasLtMatmulPreferenceOpaque_t = emulation::lt::preference;
using cublasLtMatmulPreference_t = emulation::lt::preference*;
using cublasLtMatmulAlgo_t = emulation::lt::algorithm;
struct cublasLtMatmulHeuristicResult_t {
    cublasLtMatmulAlgo_t algo;
    std::size_t workspaceSize;
    cublasStatus_t state;
    float wavesCount;
    int reserved[4];
};

inline char const* cublasLtGetStatusName(cublasStatus_t status) {
    switch (status) {
    case CUBLAS_STATUS_SUCCESS: return "CUBLAS_STATUS_SUCCESS";
    case CUBLAS_STATUS_NOT_INITIALIZED: return "CUBLAS_STATUS_NOT_INITIALIZED";
    case CUBLAS_STATUS_ALLOC_FAILED: return "CUBLAS_STATUS_ALLOC_FAILED";
    case CUBLAS_STATUS_INVALID_VALUE: return "CUBLAS_STATUS_INVALID_VALUE";
    case CUBLAS_STATUS_ARCH_MISMATCH: return "CUBLAS_STATUS_ARCH_MISMATCH";
    case CUBLAS_STATUS_EXECUTION_FAILED: return "CUBLAS_STATUS_EXECUTION_FAILED";
    case CUBLAS_STATUS_INTERNAL_ERROR: return "CUBLAS_STATUS_INTERNAL_ERROR";
    case CUBLAS_STATUS_NOT_SUPPORTED: return "CUBLAS_STATUS_NOT_SUPPORTED";
    }
    return "unknown status";
}
inline char const* cublasLtGetStatusString(cublasStatus_t status) {
    switch (status) {
    case CUBLAS_STATUS_SUCCESS: return "success";
    case CUBLAS_STATUS_NOT_SUPPORTED: return "the requested functionality is not supported";
    case CUBLAS_STATUS_INVALID_VALUE: return "an invalid value was passed";
    default: return "see the name";
    }
}

inline cublasStatus_t cublasLtCreate(cublasLtHandle_t* handle) {
    *handle = new emulation::lt::context{emulation::lt::alive};
    return CUBLAS_STATUS_SUCCESS;
}
inline cublasStatus_t cublasLtDestroy(cublasLtHandle_t handle) {
    delete handle;
    return CUBLAS_STATUS_SUCCESS;
}

inline cublasStatus_t cublasLtMatrixLayoutInit(cublasLtMatrixLayout_t layout, cudaDataType_t type,
                                               std::uint64_t rows, std::uint64_t columns,
                                               std::int64_t leading) {
    *layout = {emulation::lt::alive, type, rows, columns, leading};
    return CUBLAS_STATUS_SUCCESS;
}
inline cublasStatus_t cublasLtMatmulDescInit(cublasLtMatmulDesc_t d, cublasComputeType_t compute,
                                             cudaDataType_t scale) {
    *d = {emulation::lt::alive,      compute, scale, CUBLAS_OP_N, CUBLAS_OP_N,
          CUBLASLT_EPILOGUE_DEFAULT, nullptr, -1,    nullptr,     0};
    return CUBLAS_STATUS_SUCCESS;
}
inline cublasStatus_t cublasLtMatmulPreferenceInit(cublasLtMatmulPreference_t p) {
    *p = {emulation::lt::alive, 0, CUBLASLT_REDUCTION_SCHEME_MASK, {256, 256, 256, 256}};
    return CUBLAS_STATUS_SUCCESS;
}

namespace emulation::lt {
template <class T>
cublasStatus_t assign(T& to, void const* from, std::size_t size) {
    if (size != sizeof(T)) return invalid("an attribute of " + std::to_string(size) + " bytes");
    std::memcpy(&to, from, size);
    return CUBLAS_STATUS_SUCCESS;
}
}  // namespace emulation::lt

inline cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t d,
                                                     cublasLtMatmulDescAttributes_t which, void const* value,
                                                     std::size_t size) {
    using namespace emulation::lt;
    if (!d || d->state != alive || !value) return invalid("attribute of no descriptor");
    switch (which) {
    case CUBLASLT_MATMUL_DESC_TRANSA: return assign(d->transpose_a, value, size);
    case CUBLASLT_MATMUL_DESC_TRANSB: return assign(d->transpose_b, value, size);
    case CUBLASLT_MATMUL_DESC_EPILOGUE: return assign(d->epilogue, value, size);
    case CUBLASLT_MATMUL_DESC_BIAS_POINTER: return assign(d->bias, value, size);
    case CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE: return assign(d->bias_type, value, size);
    case CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER: return assign(d->aux, value, size);
    case CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD: return assign(d->aux_leading, value, size);
    }
    return invalid("unknown attribute");
}
inline cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t p,
                                                           cublasLtMatmulPreferenceAttributes_t which,
                                                           void const* value, std::size_t size) {
    using namespace emulation::lt;
    if (!p || p->state != alive || !value) return invalid("attribute of no preference");
    switch (which) {
    case CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES: return assign(p->workspace, value, size);
    case CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK: return assign(p->reductions, value, size);
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES:
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES:
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES:
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES:
        return assign(p->alignment[which - CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES], value, size);
    }
    return invalid("unknown preference");
}

/// One algorithm, which needs all of the operands' declared alignment and a workspace that it uses.
inline cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t handle, cublasLtMatmulDesc_t d,
                                                     cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                                                     cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t r,
                                                     cublasLtMatmulPreference_t p, int requested,
                                                     cublasLtMatmulHeuristicResult_t results[],
                                                     int* returned) {
    using namespace emulation::lt;
    auto const alone = emulation::lock();
    if (!handle || handle->state != alive) return refuse(CUBLAS_STATUS_NOT_INITIALIZED, "no handle");
    if (!p || p->state != alive || requested <= 0) return invalid("no preference, or no result requested");
    ++counted().searches;
    *returned = 0;
    if (auto const status = emulation::lt::check(*d, *a, *b, *c, *r); status != CUBLAS_STATUS_SUCCESS)
        return status;
    auto const workspace = p->reductions & CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE
                               ? std::min(p->workspace, counted().most_workspace)
                               : 0;
    results[0] = {{alive,
                   *a,
                   *b,
                   *c,
                   *r,
                   workspace,
                   {},
                   alignment_of(d->bias),
                   d->epilogue,
                   alignment_of(d->aux),
                   d->transpose_a,
                   d->transpose_b},
                  workspace,
                  CUBLAS_STATUS_SUCCESS,
                  1.0f,
                  {}};
    std::copy_n(p->alignment, 4, results[0].algo.alignment);
    *returned = 1;
    return CUBLAS_STATUS_SUCCESS;
}

inline cublasStatus_t cublasLtMatmul(cublasLtHandle_t handle, cublasLtMatmulDesc_t operation,
                                     void const* alpha, void const* a, cublasLtMatrixLayout_t a_layout,
                                     void const* b, cublasLtMatrixLayout_t b_layout, void const* beta,
                                     void const* c, cublasLtMatrixLayout_t c_layout, void* d,
                                     cublasLtMatrixLayout_t d_layout, cublasLtMatmulAlgo_t const* algo,
                                     void* workspace, std::size_t workspace_size, cudaStream_t stream) {
    using namespace emulation::lt;
    auto const alone = emulation::lock();
    if (auto const status = std::exchange(counted().fail_next, CUBLAS_STATUS_SUCCESS);
        status != CUBLAS_STATUS_SUCCESS)
        return status;
    if (!handle || handle->state != alive) return refuse(CUBLAS_STATUS_NOT_INITIALIZED, "no handle");
    if (!alpha || !beta || !a || !b || !c || !d) return invalid("a null pointer");
    if (auto const status = emulation::lt::check(*operation, *a_layout, *b_layout, *c_layout, *d_layout);
        status != CUBLAS_STATUS_SUCCESS)
        return status;
    if (c == d && *c_layout != *d_layout) return invalid("in place with two layouts");
    if (!algo || algo->state != alive) return invalid("no algorithm");
    if (algo->a != *a_layout || algo->b != *b_layout || algo->c != *c_layout || algo->d != *d_layout ||
        algo->epilogue != operation->epilogue || algo->transpose_a != operation->transpose_a ||
        algo->transpose_b != operation->transpose_b)
        return invalid("the algorithm was chosen for another product");
    if (workspace_size < algo->workspace || (algo->workspace > 0 && alignment_of(workspace) < 256))
        return invalid("workspace too small, or not aligned to 256 bytes");
    void const* const pointers[] = {a, b, c, d};
    for (int i = 0; i < 4; ++i)
        if (alignment_of(pointers[i]) < algo->alignment[i])
            return refuse(CUBLAS_STATUS_NOT_SUPPORTED, std::string("operand ") + "ABCD"[i] +
                                                           " is not aligned to the declared " +
                                                           std::to_string(algo->alignment[i]) + " bytes");
    if (operation->epilogue == CUBLASLT_EPILOGUE_BIAS &&
        alignment_of(operation->bias) < std::min(algo->bias_alignment, 16u))
        return refuse(CUBLAS_STATUS_NOT_SUPPORTED,
                      "bias less aligned than the one the algorithm was chosen with");
    if (operation->epilogue == CUBLASLT_EPILOGUE_DGELU &&
        alignment_of(operation->aux) < std::max(algo->aux_alignment, 16u))
        return refuse(CUBLAS_STATUS_NOT_SUPPORTED, "GELU's input not aligned to 16 bytes");
    bool const wide = operation->scale == CUDA_R_64F;
    double const factor =
        wide ? *static_cast<double const*>(alpha) : double{*static_cast<float const*>(alpha)};
    double const kept = wide ? *static_cast<double const*>(beta) : double{*static_cast<float const*>(beta)};
    ++counted().products;
    enqueue(stream, [=, op = *operation, la = *a_layout, lb = *b_layout, lc = *c_layout, ld = *d_layout,
                     used = algo->workspace] {
        if (used > 0) std::memset(workspace, 0xA5, used);
        auto const depth = static_cast<std::int64_t>(op.transpose_a ? la.rows : la.columns);
        for (std::int64_t j = 0; j < static_cast<std::int64_t>(ld.columns); ++j)
            for (std::int64_t i = 0; i < static_cast<std::int64_t>(ld.rows); ++i) {
                double sum = 0;
                for (std::int64_t k = 0; k < depth; ++k)
                    sum += read(a, la.type, op.transpose_a ? k + i * la.leading : i + k * la.leading) *
                           read(b, lb.type, op.transpose_b ? j + k * lb.leading : k + j * lb.leading);
                sum *= factor;
                if (kept != 0) sum += kept * read(c, lc.type, i + j * lc.leading);
                if (op.epilogue == CUBLASLT_EPILOGUE_DGELU)
                    sum *= gelu_derivative(read(op.aux, ld.type, i + j * op.aux_leading));
                if (op.epilogue == CUBLASLT_EPILOGUE_BIAS) sum += read(op.bias, ld.type, i);
                write(d, ld.type, i + j * ld.leading, sum);
            }
    });
    return CUBLAS_STATUS_SUCCESS;
}
