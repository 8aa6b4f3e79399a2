// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cuda_runtime.h>

#include <snug/backend/cuda/context.cuh>
#include <snug/backend/cuda/tag.hpp>
#include <snug/ops/run_recorded.hpp>

namespace snug::SNUG_TARGET::backend::cuda {

/// The first run is an ordinary one, in which libraries choose their algorithms and kernels are loaded; the second is captured
/// as a graph; from then on the graph is launched.
template <class Operations>
void run_recorded_on(tag on, recording& recorded, Operations const& operations) {
    if (recorded.runs++ == 0) return operations();
    if (recorded.graph() == nullptr) {
        check(cudaStreamBeginCapture(stream(on), cudaStreamCaptureModeThreadLocal), "cudaStreamBeginCapture");
        cudaGraph_t graph = nullptr;
        try {
            operations();
        } catch (...) {
            (void)cudaStreamEndCapture(stream(on), &graph);
            throw;
        }
        check(cudaStreamEndCapture(stream(on), &graph), "cudaStreamEndCapture");
        cudaGraphExec_t executable = nullptr;
        auto const result = cudaGraphInstantiate(&executable, graph, 0);
        (void)cudaGraphDestroy(graph);
        check(result, "cudaGraphInstantiate");
        recorded.keep(executable,
                      [](void* it) { (void)cudaGraphExecDestroy(static_cast<cudaGraphExec_t>(it)); });
    }
    check(cudaGraphLaunch(static_cast<cudaGraphExec_t>(recorded.graph()), stream(on)), "cudaGraphLaunch");
}

}  // namespace snug::SNUG_TARGET::backend::cuda
