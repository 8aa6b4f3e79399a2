// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <snug/backend/cuda/attention_sizes.hpp>
#include <snug/backend/cuda/gemm_sizes.hpp>
#include <snug/backend/cuda/row_sizes.hpp>
#include <snug/units.hpp>
#include <utility>

namespace snug::SNUG_TARGET::backend::cuda {

/// Operations on a device, recorded to be run again at once: a CUDA graph. Plain here, so that a trainer's type needs no CUDA.
class recording {
  public:
    recording() = default;
    recording(recording&& other) noexcept
        : runs(std::exchange(other.runs, 0)),
          graph_(std::exchange(other.graph_, nullptr)),
          release_(other.release_) {}
    recording& operator=(recording&& other) noexcept {
        std::swap(runs, other.runs);
        std::swap(graph_, other.graph_);
        std::swap(release_, other.release_);
        return *this;
    }
    ~recording() {
        if (graph_ != nullptr) release_(graph_);
    }

    void* graph() const { return graph_; }
    void keep(void* graph, void (*release)(void*)) {
        graph_ = graph;
        release_ = release;
    }

    int runs = 0;  ///< so far

  private:
    void* graph_ = nullptr;
    void (*release_)(void*) = nullptr;
};

/// What operations need to run on a device: a stream, cuBLASLt's handle, its plans (context.cuh).
class execution;
struct tag;

/// Owns an `execution`: a trainer's, or a program's that calls operations itself. Plain here for the same
/// reason.
class context {
  public:
    context() = default;
    context(execution* state, void (*release)(execution*)) : state_(state), release_(release) {}
    context(context&& other) noexcept
        : state_(std::exchange(other.state_, nullptr)), release_(other.release_) {}
    context& operator=(context&& other) noexcept {
        std::swap(state_, other.state_);
        std::swap(release_, other.release_);
        return *this;
    }
    ~context() {
        if (state_ != nullptr) release_(state_);
    }

    /// The first argument of operations, for as long as the owner lives.
    tag on() const;

  private:
    execution* state_ = nullptr;
    void (*release_)(execution*) = nullptr;
};

/// The CUDA backend: one GPU of compute capability 8.0 or later. This header is enough to plan and to assert;
/// to run, include snug/snug.cuh in a file that nvcc compiles. A value is the context of operations, if
/// `context::on` gave it; made by default it serves where nothing but the type is asked for.
struct tag {
    execution* state = nullptr;

    /// The program goes on while the device works; results are copied out when they are asked for.
    static constexpr bool runs_ahead = true;
    /// What a trainer is told that runs where the operations' bodies are not.
    static constexpr bool bodies_need_nvcc = true;
    using recording = cuda::recording;
    using context = cuda::context;
    /// A chunk of logits. Each costs one pass over the gradient of the head's weight: GPT-2's is 308 MB of traffic in fp32,
    /// a tenth of a millisecond, and 32 x 1024 tokens are 16 chunks.
    static constexpr index_t logits_bytes = index_t{256} << 20;

    template <class T>
    static constexpr index_t matmul_workspace(index_t columns, index_t depth) {
        return matmul_workspace_bytes<T>(columns, depth);
    }
    template <class T>
    static constexpr index_t quantized_matmul_workspace(index_t rows, index_t columns, index_t depth) {
        return quantized_matmul_workspace_bytes<T>(rows, columns, depth);
    }
    template <class T>
    static constexpr index_t column_sums_workspace(index_t rows, index_t columns) {
        return column_sums_bytes<T>(rows, columns);
    }
    template <class T>
    static constexpr index_t rows_with_column_sums_workspace(index_t rows, index_t width, index_t sums) {
        return rows_with_sums_bytes<T>(rows, width, sums);
    }
    template <class Shape, class T>
    static constexpr index_t attention_forward_workspace(index_t sequences, index_t tokens) {
        return cuda::attention_forward_workspace<Shape, T>(sequences, tokens);
    }
    template <class Shape, class T>
    static constexpr index_t attention_backward_workspace(index_t sequences, index_t tokens) {
        return cuda::attention_backward_workspace<Shape, T>(sequences, tokens);
    }
};

inline tag context::on() const { return {state_}; }

}  // namespace snug::SNUG_TARGET::backend::cuda

namespace snug::SNUG_TARGET {
/// The CUDA backend: `snug::on<snug::cuda>`.
using cuda = backend::cuda::tag;
}  // namespace snug::SNUG_TARGET
