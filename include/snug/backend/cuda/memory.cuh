// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <snug/backend/cuda/check.cuh>
#include <snug/backend/cuda/context.cuh>
#include <snug/backend/cuda/tag.hpp>
#include <snug/memory/arena.hpp>
#include <snug/ops/memory.hpp>

/// Memory of the device, and the host's pinned memory.
namespace snug::SNUG_TARGET::backend::cuda {

/// Memory of the device, aligned to 256 bytes. Tests may replace the calls, as those of `memory_seam`. Throws `snug::error` when
/// there is no device; too little memory is a null pointer.
inline memory_calls& device_memory_calls() {
    static memory_calls calls{[](std::size_t, std::size_t size) -> void* {
                                  require_device();
                                  void* result = nullptr;
                                  auto const answer = cudaMalloc(&result, size);
                                  if (answer == cudaSuccess) return result;
                                  (void)cudaGetLastError();
                                  if (answer == cudaErrorMemoryAllocation) return nullptr;
                                  check(answer, "cudaMalloc");
                                  return nullptr;
                              },
                              [](void* pointer) { (void)cudaFree(pointer); }};
    return calls;
}

/// Memory of the host that the device reads and writes itself, at an alignment of 256 bytes at least.
inline memory_calls& pinned_memory_calls() {
    static memory_calls calls{[](std::size_t, std::size_t size) -> void* {
                                  require_device();
                                  void* result = nullptr;
                                  auto const answer = cudaMallocHost(&result, size);
                                  if (answer == cudaSuccess) return result;
                                  (void)cudaGetLastError();
                                  if (answer == cudaErrorMemoryAllocation) return nullptr;
                                  check(answer, "cudaMallocHost");
                                  return nullptr;
                              },
                              [](void* pointer) { (void)cudaFreeHost(pointer); }};
    return calls;
}

inline memory_calls const& memory_on(tag) { return device_memory_calls(); }
inline memory_calls const& paged_memory_on(tag) { return pinned_memory_calls(); }

}  // namespace snug::SNUG_TARGET::backend::cuda
