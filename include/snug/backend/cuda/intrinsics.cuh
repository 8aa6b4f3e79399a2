// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cuda_runtime.h>

#include <bit>
#include <cstddef>
#include <cstdint>
#include <snug/precision/bf16.hpp>
#include <snug/precision/fp16.hpp>
#include <type_traits>

/// What CUDA C++ has no name for: PTX, one function for each instruction. Only here does a kernel differ between a device
/// and the emulation that tests run on the host.
namespace snug::SNUG_TARGET::backend::cuda {

/// All lanes of a warp.
inline constexpr unsigned full_warp = 0xFFFFFFFFu;
inline constexpr int warp_width = 32;

#if !defined(SNUG_CUDA_EMULATION)
/// The address within shared memory, as PTX wants it.
__device__ __forceinline__ std::uint32_t shared_address(void const* pointer) {
    return static_cast<std::uint32_t>(__cvta_generic_to_shared(pointer));
}
#endif

/// d += a b for a warp; a: 16 x 16 and b: 16 x 8 elements of T (bf16 or fp16), d in fp32. Lane l holds, with g = l / 4 and
/// t = l % 4, in pairs of columns (a, d) or rows (b):
///   a: (g, 2t) (g + 8, 2t) (g, 2t + 8) (g + 8, 2t + 8);  b: (2t, g) (2t + 8, g);  d: (g, 2t) (g, 2t + 1) (g + 8, 2t) (g + 8, 2t + 1)
template <class T>
__device__ __forceinline__ void multiply_16x8x16(float (&d)[4], std::uint32_t const (&a)[4],
                                                 std::uint32_t const (&b)[2]) {
    static_assert(std::is_same_v<T, bf16> || std::is_same_v<T, fp16>);
#if defined(SNUG_CUDA_EMULATION)
    emulation::multiply_16x8x16<T>(d, a, b);
#else
    if constexpr (std::is_same_v<T, bf16>)
        asm volatile(
            "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, "
            "%9}, {%0, %1, %2, %3};"
            : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
            : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
    else
        asm volatile(
            "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
            "{%0, %1, %2, %3};"
            : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
            : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#endif
}

/// ldmatrix: four matrices of 8 x 8 elements of 16 bits from shared memory. Lane 8 m + i gives the address of row i of matrix
/// m, a multiple of 16; lane l gets elements (l / 4, 2 (l % 4)) and the one beside it of matrix m in r[m].
__device__ __forceinline__ void load_matrices(std::uint32_t (&r)[4], void const* row_of_this_lane) {
#if defined(SNUG_CUDA_EMULATION)
    emulation::load_matrices<4, false>(r, row_of_this_lane);
#else
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(shared_address(row_of_this_lane))
                 : "memory");
#endif
}

/// Two matrices, whose addresses lanes 0 to 15 give; the other lanes give any valid address.
__device__ __forceinline__ void load_matrices(std::uint32_t (&r)[2], void const* row_of_this_lane) {
#if defined(SNUG_CUDA_EMULATION)
    emulation::load_matrices<2, false>(r, row_of_this_lane);
#else
    asm volatile("ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%0, %1}, [%2];"
                 : "=r"(r[0]), "=r"(r[1])
                 : "r"(shared_address(row_of_this_lane))
                 : "memory");
#endif
}

/// The same of the transposed matrices: lane l gets elements (2 (l % 4), l / 4) and the one below it.
__device__ __forceinline__ void load_matrices_transposed(std::uint32_t (&r)[4],
                                                         void const* row_of_this_lane) {
#if defined(SNUG_CUDA_EMULATION)
    emulation::load_matrices<4, true>(r, row_of_this_lane);
#else
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(shared_address(row_of_this_lane))
                 : "memory");
#endif
}

__device__ __forceinline__ void load_matrices_transposed(std::uint32_t (&r)[2],
                                                         void const* row_of_this_lane) {
#if defined(SNUG_CUDA_EMULATION)
    emulation::load_matrices<2, true>(r, row_of_this_lane);
#else
    asm volatile("ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {%0, %1}, [%2];"
                 : "=r"(r[0]), "=r"(r[1])
                 : "r"(shared_address(row_of_this_lane))
                 : "memory");
#endif
}

/// 16 bytes from global to shared memory, past L1; zeros when not `valid` (`global` is then not read, but has to be aligned).
/// The copy is there for this thread after `wait_copies`, for the block after a barrier behind it.
__device__ __forceinline__ void copy_async_16(void* shared, void const* global, bool valid = true) {
#if defined(SNUG_CUDA_EMULATION)
    emulation::copy_async(shared, global, 16, valid);
#else
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;"
                 :
                 : "r"(shared_address(shared)), "l"(__cvta_generic_to_global(global)), "r"(valid ? 16 : 0)
                 : "memory");
#endif
}

/// Closes a group of copies.
__device__ __forceinline__ void commit_copies() {
#if defined(SNUG_CUDA_EMULATION)
    emulation::commit_copies();
#else
    asm volatile("cp.async.commit_group;" ::: "memory");
#endif
}

/// Waits until at most the `Pending` latest groups of this thread are on their way.
template <int Pending>
__device__ __forceinline__ void wait_copies() {
    static_assert(Pending >= 0);
#if defined(SNUG_CUDA_EMULATION)
    emulation::wait_copies(Pending);
#else
    asm volatile("cp.async.wait_group %0;" ::"n"(Pending) : "memory");
#endif
}

/// Two numbers rounded to T (to nearest, halfway to even), `low` in the lower half.
template <class T>
__device__ __forceinline__ std::uint32_t packed(float low, float high) {
    static_assert(std::is_same_v<T, bf16> || std::is_same_v<T, fp16>);
#if defined(SNUG_CUDA_EMULATION)
    return T(low).bits | static_cast<std::uint32_t>(T(high).bits) << 16;
#else
    std::uint32_t result;
    if constexpr (std::is_same_v<T, bf16>)
        asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(result) : "f"(high), "f"(low));
    else asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(result) : "f"(high), "f"(low));
    return result;
#endif
}

/// The lower and the upper number of a pair of T, as float; exact.
template <class T>
__device__ __forceinline__ float unpacked_low(std::uint32_t pair) {
    static_assert(std::is_same_v<T, bf16> || std::is_same_v<T, fp16>);
    if constexpr (std::is_same_v<T, bf16>) return std::bit_cast<float>(pair << 16);
#if defined(SNUG_CUDA_EMULATION)
    else return static_cast<float>(T::from_bits(static_cast<std::uint16_t>(pair)));
#else
    else {
        float result;
        asm("cvt.f32.f16 %0, %1;" : "=f"(result) : "h"(static_cast<std::uint16_t>(pair)));
        return result;
    }
#endif
}
template <class T>
__device__ __forceinline__ float unpacked_high(std::uint32_t pair) {
    if constexpr (std::is_same_v<T, bf16>) return std::bit_cast<float>(pair & 0xFFFF0000u);
    else return unpacked_low<T>(pair >> 16);
}

/// 2ˣ in one instruction: within 2 units in the last place of fp32; 0 for -infinity.
__device__ __forceinline__ float power_of_two(float x) {
#if defined(SNUG_CUDA_EMULATION)
    return std::exp2(x);
#else
    float result;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(result) : "f"(x));
    return result;
#endif
}

/// `value`, of which the compiler is not to know where it comes from: it then sees how offsets from it are aligned.
__device__ __forceinline__ std::int64_t opaque(std::int64_t value) {
#if !defined(SNUG_CUDA_EMULATION)
    asm("" : "+l"(value));
#endif
    return value;
}

/// The block's dynamic shared memory, aligned to 16 bytes.
__device__ __forceinline__ std::byte* dynamic_shared() {
#if defined(SNUG_CUDA_EMULATION)
    return emulation::multiprocessor::instance().shared();
#else
    extern __shared__ __align__(16) unsigned char snug_dynamic_shared[];
    return reinterpret_cast<std::byte*>(snug_dynamic_shared);
#endif
}

}  // namespace snug::SNUG_TARGET::backend::cuda
