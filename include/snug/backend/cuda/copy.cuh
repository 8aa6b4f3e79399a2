// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <snug/backend/cuda/check.cuh>
#include <snug/backend/cuda/context.cuh>
#include <snug/backend/cuda/tag.hpp>
#include <snug/ops/copy.hpp>

/// Copies between the memories of device and host, in the order of the operations.
namespace snug::SNUG_TARGET::backend::cuda {

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

inline void copy_in_on(tag on, void* to, void const* from, std::size_t size) {
    copy_to_device(on, to, from, size);
}
inline void copies_are_done_on(tag on) { synchronize(on); }
inline void copy_out_on(tag on, void* to, void const* from, std::size_t size) {
    copy_to_host(on, to, from, size);
    synchronize(on);
}

}  // namespace snug::SNUG_TARGET::backend::cuda
