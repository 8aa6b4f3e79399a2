// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <string_view>

#include <snug/kernels/rotary.hpp>
#include <snug/meta.hpp>

namespace snug::SNUG_TARGET {

/// The numbers of a model of a family as values: what a trainer was compiled for, to be compared with what a
/// file says of itself.
struct model_numbers {
    std::string_view family = {};  ///< its name: "gpt2", "llama"
    index_t layers = 0;            ///< blocks
    index_t heads = 0;             ///< attention heads (queries)
    index_t kv_heads = 0;          ///< key-value heads
    index_t head_width = 0;        ///< of one head
    index_t width = 0;             ///< of the residual stream
    index_t mlp = 0;               ///< inner width
    index_t vocabulary = 0;        ///< tokens
    index_t context = 0;           ///< longest sequence
    /// Tokens that attention looks back on, itself included, less than the context; 0: all; -1: a file does not say it.
    /// As long as the context where a file has windows in some layers that are full attention elsewhere: they end its
    /// context.
    index_t sliding_window = 0;
    index_t no_rope_interval = 0;  ///< every so many-th block does not rotate; 0: all do, or none
    /// Every so many-th block attends to everything where the others have the window; 0: none does, or all are alike.
    index_t full_attention_interval = 0;
    index_t query_scalar = 0;      ///< scores are divided by its root; 0: by that of the width of a head
    double rope_theta = 0;         ///< base of the rotary frequencies; 0 where positions are learned
    double local_rope_theta = 0;   ///< of blocks with a window; 0: the same
    double norm_epsilon = 0;       ///< added to the mean of squares
    bool tied_head = false;        ///< the head shares the embedding's table
    bool qkv_bias = false;         ///< queries, keys and values have biases
    rope::scaling rope_scaling{};  ///< of the rotary frequencies
    /// What each rotary frequency is divided by, where a file says it so (GGUF's `rope_freqs.weight`); else
    /// zeros.
    std::array<float, 128> rope_divisors{};

    friend constexpr bool operator==(model_numbers const&, model_numbers const&) = default;
};

}  // namespace snug::SNUG_TARGET
