// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <snug/backend/cuda/check.cuh>
#include <snug/backend/cuda/context.cuh>
#include <type_traits>

namespace snug::SNUG_TARGET::backend::cuda {

/// Dynamic shared memory that a kernel may use without asking.
inline constexpr std::size_t unasked_shared_bytes = 48 * 1024;

/// kernel<<<blocks, threads, shared_bytes, stream(on)>>>(arguments...), checked. More than 48 KiB of dynamic
/// shared memory are asked for here, every time: it is a cheap call, and no state has to be kept for each
/// kernel and device.
template <class... P>
void launch(tag on, void (*kernel)(P...), dim3 blocks, unsigned threads, std::size_t shared_bytes,
            std::type_identity_t<P>... arguments) {
    if (shared_bytes > unasked_shared_bytes)
        check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                   static_cast<int>(shared_bytes)),
              "cudaFuncSetAttribute");
    cudaLaunchConfig_t config{};
    config.gridDim = blocks;
    config.blockDim = dim3(threads);
    config.dynamicSmemBytes = shared_bytes;
    config.stream = stream(on);
    check(cudaLaunchKernelEx(&config, kernel, arguments...), "cudaLaunchKernelEx");
}

namespace detail {

/// So many pieces of `size` make up `count`: a grid's blocks.
constexpr unsigned pieces(index_t count, index_t size) {
    return static_cast<unsigned>((count + size - 1) / size);
}

}  // namespace detail

}  // namespace snug::SNUG_TARGET::backend::cuda
