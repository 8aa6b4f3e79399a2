// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cuda_runtime.h>

#include <snug/backend/cuda/check.cuh>
#include <string>

namespace snug::backend::cuda {

/// Kernels are written for this compute capability and later ones: asynchronous copies, bf16 on tensor cores.
inline constexpr int oldest_major = 8;

/// Throws `snug::error` unless the current device can run the kernels.
inline void require_device() {
    int count = 0;
    if (auto const result = cudaGetDeviceCount(&count); result != cudaSuccess || count == 0) {
        (void)cudaGetLastError();
        throw error({}, std::string("no CUDA device (") + cudaGetErrorString(result) + ")",
                    "a device of compute capability 8.0 or later and its driver");
    }
    int device = 0, major = 0, minor = 0;
    check(cudaGetDevice(&device), "cudaGetDevice");
    check(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device),
          "cudaDeviceGetAttribute");
    check(cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, device),
          "cudaDeviceGetAttribute");
    if (major < oldest_major)
        throw error(
            {},
            "a device too old, of compute capability " + std::to_string(major) + "." + std::to_string(minor),
            "8.0 or later");
}

/// The stream of everything that snug does on the device: one in a process, made when it is first asked for and never
/// destroyed, as the driver may be gone before static objects are. Not the default stream, which no graph can capture.
inline cudaStream_t stream() {
    static cudaStream_t const only = [] {
        require_device();
        cudaStream_t made = nullptr;
        check(cudaStreamCreateWithFlags(&made, cudaStreamNonBlocking), "cudaStreamCreateWithFlags");
        return made;
    }();
    return only;
}

/// The host waits for all that `stream()` has to do.
inline void synchronize() { check(cudaStreamSynchronize(stream()), "cudaStreamSynchronize"); }

}  // namespace snug::backend::cuda
