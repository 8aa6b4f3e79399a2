// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <snug/ops/operation.hpp>

namespace snug::SNUG_TARGET {

namespace operation {
struct attention_forward;
struct attention_backward;
}  // namespace operation

/// The numbers of a causal self-attention with grouped queries: a row of `qkv` holds `heads` queries, then
/// `kv_heads` keys, then `kv_heads` values, each `head_width` wide. A query sees the last `window` keys, its own
/// included; 0: all. Scores are divided by √`Scalar`, the width of a head unless it is given.
template <index_t Heads, index_t KvHeads, index_t HeadWidth, index_t Window = 0, index_t Scalar = HeadWidth>
struct attention_shape {
    static constexpr index_t heads = Heads;
    static constexpr index_t kv_heads = KvHeads;
    static constexpr index_t head_width = HeadWidth;
    static constexpr index_t window = Window;
    static constexpr index_t scalar = Scalar;
    static constexpr index_t queries_per_key = Heads / KvHeads;
    static constexpr index_t qkv_width = (Heads + 2 * KvHeads) * HeadWidth;
    static constexpr index_t output_width = Heads * HeadWidth;
    static constexpr index_t key_offset = Heads * HeadWidth;
    static constexpr index_t value_offset = (Heads + KvHeads) * HeadWidth;
};

namespace ops {

template <class Backend, class Shape, class T>
constexpr index_t attention_forward_workspace(index_t sequences, index_t tokens) {
    return Backend::template attention_forward_workspace<Shape, T>(sequences, tokens);
}

template <class Backend, class Shape, class T>
constexpr index_t attention_backward_workspace(index_t sequences, index_t tokens) {
    return Backend::template attention_backward_workspace<Shape, T>(sequences, tokens);
}

template <class Backend, class Shape, class T, class S>
concept has_attention_forward = takes_bodies_for_granted ||
    requires(Backend on, index_t n, T const* qkv, std::int32_t const* starts, T* out, S* logsumexp,
             std::byte* workspace) {
    attention_forward_on(on, Shape{}, n, n, n, qkv, starts, out, logsumexp, workspace);
};

/// out = softmax(Q Kᵀ / √scalar, causal and within the window) V for `sequences` sequences of `tokens` rows each. Row 0
/// of a sequence stands at position `past`; the rows of earlier positions precede it in memory. `logsumexp` has shape
/// (rows, heads). `starts`, unless null: for each row the first position of its sequence that it attends to, not
/// falling from row to row. Never stores a score matrix of tokens × tokens.
template <class Shape, class Backend, class T, class S>
inline void attention_forward(Backend on, index_t sequences, index_t tokens, index_t past, T const* qkv,
                              std::int32_t const* starts, T* out, S* logsumexp, std::byte* workspace) {
    if constexpr (has_attention_forward<Backend, Shape, T, S>)
        attention_forward_on(on, Shape{}, sequences, tokens, past, qkv, starts, out, logsumexp, workspace);
    else (void)sizeof(missing_body<Backend, operation::attention_forward, Shape, T>);
}

template <class Backend, class Shape, class T, class S>
concept has_attention_backward = takes_bodies_for_granted ||
    requires(Backend on, index_t n, T const* qkv, std::int32_t const* starts, T const* out, T const* d_out,
             S const* logsumexp, T* d_qkv, std::byte* workspace) {
    attention_backward_on(on, Shape{}, n, n, qkv, starts, out, d_out, logsumexp, d_qkv, workspace);
};

/// d_qkv from the gradient of the output; `d_qkv` may be the same memory as `qkv`.
template <class Shape, class Backend, class T, class S>
inline void attention_backward(Backend on, index_t sequences, index_t tokens, T const* qkv,
                               std::int32_t const* starts, T const* out, T const* d_out, S const* logsumexp,
                               T* d_qkv, std::byte* workspace) {
    if constexpr (has_attention_backward<Backend, Shape, T, S>)
        attention_backward_on(on, Shape{}, sequences, tokens, qkv, starts, out, d_out, logsumexp, d_qkv,
                              workspace);
    else (void)sizeof(missing_body<Backend, operation::attention_backward, Shape, T>);
}

}  // namespace ops
}  // namespace snug::SNUG_TARGET
