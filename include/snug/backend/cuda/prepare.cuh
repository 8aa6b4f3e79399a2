// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cuda_runtime.h>

#include <snug/backend/cuda/context.cuh>
#include <snug/backend/cuda/cublaslt.cuh>
#include <snug/backend/cuda/tag.hpp>
#include <snug/memory/report.hpp>
#include <string>

namespace snug::backend::cuda {

/// Before a trainer gets its memory: a device that can run the kernels, the library's handle, and enough free memory, or a
/// refusal with the bill beside what is free.
inline void prepare_on(tag, memory_bill const& bill) {
    (void)stream();
    (void)library();
    std::size_t free = 0, total = 0;
    check(cudaMemGetInfo(&free, &total), "cudaMemGetInfo");
    if (bill.total.count <= static_cast<std::int64_t>(free)) return;
    int device = 0;
    check(cudaGetDevice(&device), "cudaGetDevice");
    std::string lines;
    for (auto const& [label, amount] : lines_of(bill))
        if (amount.count > 0) lines += "; " + std::string(label) + " " + to_string(amount);
    throw error({},
                to_string(bytes{static_cast<std::int64_t>(free)}) + " free of " +
                    to_string(bytes{static_cast<std::int64_t>(total)}) + " on device " +
                    std::to_string(device),
                "one allocation of " + to_string(bill.total) + lines);
}

}  // namespace snug::backend::cuda
