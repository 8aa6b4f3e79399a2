// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cuda_runtime.h>

#include <snug/error.hpp>
#include <string>

namespace snug::SNUG_TARGET::backend::cuda {

/// Throws `snug::error` with the call, CUDA's name and text of the error, and the device.
inline void check(cudaError_t result, char const* call) {
    if (result == cudaSuccess) return;
    (void)cudaGetLastError();  // the next call is not to answer for this one
    int device = -1;
    auto const where =
        cudaGetDevice(&device) == cudaSuccess ? "device " + std::to_string(device) : "no device";
    (void)cudaGetLastError();
    throw error({},
                std::string(call) + ": " + cudaGetErrorName(result) + " (" + cudaGetErrorString(result) +
                    ") on " + where,
                "success");
}

}  // namespace snug::SNUG_TARGET::backend::cuda
