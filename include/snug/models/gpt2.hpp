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

template <index Layers, index Heads, index Width, index Mlp, index Vocabulary, index Context>
struct gpt2_family {
    static_assert(Layers > 0 && Heads > 0 && Width > 0 && Vocabulary > 0 && Context > 0,
                  "snug: gpt2 needs layers, heads, width, vocabulary and context");
    static_assert(Width % Heads == 0, "snug: the width of gpt2 must be a multiple of its heads");

    // Projections onto the residual stream start smaller, by the number of additions to it.
    using onto_residual = initial::normal<std::ratio<2, 100>, 2 * Layers>;
    using block =
        sequence<residual<named<"norm1", layer_norm<Width>>, named<"qkv", linear<Width, 3 * Width>>,
                          named<"attention", causal_attention<Heads, Heads, Width / Heads>>,
                          named<"projection", linear<Width, Width, true, onto_residual>>>,
                 residual<named<"norm2", layer_norm<Width>>, named<"up", linear<Width, Mlp>>,
                          named<"gelu", gelu<Mlp>>, named<"down", linear<Mlp, Width, true, onto_residual>>>>;
    using type = stack<named<"embedding", embedding<Vocabulary, Width, Context>>,
                       named<"blocks", repeat<Layers, block>>, named<"norm", layer_norm<Width>>,
                       named<"head", head_with_loss<Width, Vocabulary, true>>>;
};

}  // namespace detail

/// GPT-2 (Radford et al., "Language Models are Unsupervised Multitask Learners"): LayerNorm before each part, learned
/// positions, GELU in tanh form, biases, head tied to the embedding. Options: layers, heads, width, vocabulary, context,
/// mlp (default 4 · width).
template <class... Options>
struct gpt2
    : detail::gpt2_family<
          snug::detail::option<layers, -1, Options...>(), snug::detail::option<heads, -1, Options...>(),
          snug::detail::option<width, -1, Options...>(),
          snug::detail::option<mlp, 4 * snug::detail::option<width, -1, Options...>(), Options...>(),
          snug::detail::option<vocabulary, -1, Options...>(),
          snug::detail::option<context, -1, Options...>()>::type {};

}  // namespace snug::models
