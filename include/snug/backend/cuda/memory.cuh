// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <snug/backend/cuda/check.cuh>
#include <snug/backend/cuda/context.cuh>
#include <snug/backend/cuda/tag.hpp>
#include <snug/memory/arena.hpp>

/// Memory of the device and the host's pinned memory, and copies between them: in the order of the
/// operations.
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

/// From memory of the host. From pageable memory the bytes are on their way when this returns, and `from` may be changed; pinned
/// memory has to stay as it is until the device has got there.
inline void copy_to_device(tag on, void* to, void const* from, std::size_t size) {
    check(cudaMemcpyAsync(to, from, size, cudaMemcpyHostToDevice, stream(on)),
          "cudaMemcpyAsync to the device");
}
/// To memory of the host; there after `synchronize`.
inline void copy_to_host(tag on, void* to, void const* from, std::size_t size) {
    check(cudaMemcpyAsync(to, from, size, cudaMemcpyDeviceToHost, stream(on)), "cudaMemcpyAsync to the host");
}
inline void copy_on_device(tag on, void* to, void const* from, std::size_t size) {
    check(cudaMemcpyAsync(to, from, size, cudaMemcpyDeviceToDevice, stream(on)),
          "cudaMemcpyAsync on the device");
}

inline memory_calls const& memory_on(tag) { return device_memory_calls(); }
inline memory_calls const& paged_memory_on(tag) { return pinned_memory_calls(); }

inline void copy_in_on(tag on, void* to, void const* from, std::size_t size) {
    copy_to_device(on, to, from, size);
}
inline void copy_out_on(tag on, void* to, void const* from, std::size_t size) {
    copy_to_host(on, to, from, size);
    synchronize(on);
}

}  // namespace snug::SNUG_TARGET::backend::cuda
