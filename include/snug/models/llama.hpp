// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <snug/layers/activations.hpp>
#include <snug/layers/attention.hpp>
#include <snug/layers/linear.hpp>
#include <snug/layers/norm.hpp>
#include <snug/models/options.hpp>
#include <snug/models/stack.hpp>

namespace snug::models {

namespace detail {

template <index Layers, index Heads, index KvHeads, index HeadWidth, index Width, index Mlp, index Vocabulary,
          index Context, index Theta, index EpsilonInverse, bool Tied, bool QkvBias>
struct llama_family {
    static_assert(Layers > 0 && Heads > 0 && Width > 0 && Mlp > 0 && Vocabulary > 0 && Context > 0,
                  "snug: llama needs layers, heads, width, mlp, vocabulary and context");
    static_assert(Heads % KvHeads == 0, "snug: the heads of llama must be a multiple of its kv_heads");

    using norm = rms_norm<Width, std::ratio<1, EpsilonInverse>>;
    using onto_residual = initial::normal<std::ratio<2, 100>, 2 * Layers>;
    using block = sequence<
        residual<named<"norm1", norm>,
                 named<"qkv", linear<Width, (Heads + 2 * KvHeads) * HeadWidth, QkvBias>>,
                 named<"attention", causal_attention<Heads, KvHeads, HeadWidth, rotary<Theta>>>,
                 named<"projection", linear<Heads * HeadWidth, Width, false, onto_residual>>>,
        residual<named<"norm2", norm>, named<"gate_up", linear<Width, 2 * Mlp, false>>,
                 named<"swiglu", swiglu<Mlp>>, named<"down", linear<Mlp, Width, false, onto_residual>>>>;
    using type =
        stack<named<"embedding", embedding<Vocabulary, Width>>, named<"blocks", repeat<Layers, block>>,
              named<"norm", norm>, named<"head", head_with_loss<Width, Vocabulary, Tied>>>;
};

}  // namespace detail

/// Llama and its relatives (Touvron et al., arXiv 2302.13971 and 2307.09288): RMSNorm before each part, rotary positions,
/// grouped queries, SwiGLU, no biases. Options: layers, heads, kv_heads, head_width, width, mlp, vocabulary, context,
/// rope_theta, norm_epsilon_inverse, tied_head<0 or 1>, qkv_bias<0 or 1>.
template <class... Options>
struct llama
    : detail::llama_family<
          snug::detail::option<layers, -1, Options...>(), snug::detail::option<heads, -1, Options...>(),
          snug::detail::option<kv_heads, snug::detail::option<heads, -1, Options...>(), Options...>(),
          snug::detail::option<head_width,
                               snug::detail::option<width, -1, Options...>() /
                                   snug::detail::option<heads, -1, Options...>(),
                               Options...>(),
          snug::detail::option<width, -1, Options...>(), snug::detail::option<mlp, -1, Options...>(),
          snug::detail::option<vocabulary, -1, Options...>(), snug::detail::option<context, -1, Options...>(),
          snug::detail::option<rope_theta, 10000, Options...>(),
          snug::detail::option<norm_epsilon_inverse, 100000, Options...>(),
          snug::detail::option<tied_head, 0, Options...>() != 0,
          snug::detail::option<qkv_bias, 0, Options...>() != 0>::type {
    /// Rotary positions have no table; this is what the family was trained for.
    static constexpr index longest_sequence = snug::detail::option<context, -1, Options...>();
};

}  // namespace snug::models
