// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cuda_runtime.h>

#include <snug/backend/cuda/context.cuh>
#include <snug/backend/cuda/tag.hpp>
#include <snug/memory/report.hpp>
#include <snug/ops/prepare.hpp>
#include <string>

namespace snug::SNUG_TARGET::backend::cuda {

/// Before a trainer gets its memory: a context for it, on a device that can run the kernels and with enough
/// memory free beside what the context itself takes (the library's handle); or a refusal with the bill beside
/// what is free.
inline context prepare_on(tag, memory_bill const& bill) {
    auto result = make_context();
    std::size_t free = 0, total = 0;
    check(cudaMemGetInfo(&free, &total), "cudaMemGetInfo");
    if (bill.total.count <= static_cast<std::int64_t>(free)) return result;
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

}  // namespace snug::SNUG_TARGET::backend::cuda
