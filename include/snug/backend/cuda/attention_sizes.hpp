// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <snug/ops/attention.hpp>
#include <snug/precision/bf16.hpp>
#include <snug/precision/fp16.hpp>
#include <snug/units.hpp>
#include <type_traits>

/// What attention on a GPU keeps in memory between its kernels, and how it cuts its work. Constants of the program: they
/// depend on no device, so a plan for one can be made without it.
namespace snug::SNUG_TARGET::backend::cuda {

/// Whether the tensor-core kernels take this attention; any other goes to the plain ones.
template <class Shape, class T>
inline constexpr bool attends_on_tensor_cores =
    (std::is_same_v<T, bf16> || std::is_same_v<T, fp16>)&&Shape::head_width % 16 == 0 && Shape::head_width <=
                                                                                             256;

/// The type that scores, probabilities and gradients are summed in.
template <class T>
using attention_sum = std::conditional_t<std::is_same_v<T, double>, double, float>;

/// The parts of the backward workspace, each a multiple of 64 bytes.
template <class Shape, class T>
struct attention_backward_sizes {
    /// Rows of a sequence are padded to these in the statistics, so that a tile's are read without asking how many
    /// there are.
    static constexpr index_t padding = 128;

    index_t sequences;
    index_t tokens;

    constexpr index_t padded_tokens() const { return round_up(tokens, padding); }
    constexpr index_t statistics() const { return sequences * Shape::heads * padded_tokens(); }
    /// One number for every row and head; there are two such parts: the logsumexp, and the sum of dO ∘ O.
    constexpr index_t statistics_bytes() const {
        return round_up(statistics() * static_cast<index_t>(sizeof(attention_sum<T>)), 64);
    }
    /// dK and dV of every row wait here: the last kernel still reads K and V, where they will lie.
    static constexpr index_t gradients_width = 2 * Shape::kv_heads * Shape::head_width;
    constexpr index_t gradients_bytes() const {
        return round_up(sequences * tokens * gradients_width * static_cast<index_t>(sizeof(T)), 64);
    }
    constexpr index_t total() const { return 2 * statistics_bytes() + gradients_bytes(); }
};

template <class Shape, class T>
constexpr index_t attention_forward_workspace(index_t /*sequences*/, index_t /*tokens*/) {
    return 0;
}

template <class Shape, class T>
constexpr index_t attention_backward_workspace(index_t sequences, index_t tokens) {
    return attention_backward_sizes<Shape, T>{sequences, tokens}.total();
}

}  // namespace snug::SNUG_TARGET::backend::cuda
