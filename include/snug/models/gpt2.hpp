// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <snug/layers/activations.hpp>
#include <snug/layers/attention.hpp>
#include <snug/layers/linear.hpp>
#include <snug/layers/norm.hpp>
#include <snug/models/numbers.hpp>
#include <snug/models/options.hpp>
#include <snug/models/stack.hpp>

namespace snug::models {

template <class... Options>
struct gpt2;

namespace detail {

template <class... Options>
using gpt2_numbers =
    snug::detail::given_numbers<gpt2<Options...>,
                                snug::detail::names<layers, heads, width, vocabulary, context>,
                                snug::detail::names<mlp>, Options...>;

template <index_t Layers, index_t Heads, index_t HeadWidth, index_t Width, index_t Mlp, index_t Vocabulary,
          index_t Context>
struct gpt2_family {
    static constexpr model_numbers numbers{.family = "gpt2",
                                           .layers = Layers,
                                           .heads = Heads,
                                           .kv_heads = Heads,
                                           .head_width = HeadWidth,
                                           .width = Width,
                                           .mlp = Mlp,
                                           .vocabulary = Vocabulary,
                                           .context = Context,
                                           .rope_theta = 0,
                                           .norm_epsilon = 1e-5,
                                           .tied_head = true,
                                           .qkv_bias = true};
    // Projections onto the residual stream start smaller, by the number of additions to it.
    using onto_residual = initial::normal<std::ratio<2, 100>, 2 * Layers>;
    using initially = initial::normal<std::ratio<2, 100>>;
    template <text Module, index_t Columns>
    using one = parts<part<Module, Columns>>;
    using block =
        sequence<residual<named<"norm1", layer_norm<Width>>,
                          named<"qkv", linear<Width, 3 * Heads * HeadWidth, true, initially,
                                              one<"attn.c_attn", 3 * Heads * HeadWidth>>>,
                          named<"attention", causal_attention<Heads, Heads, HeadWidth>>,
                          named<"projection", linear<Heads * HeadWidth, Width, true, onto_residual,
                                                     one<"attn.c_proj", Width>>>>,
                 residual<named<"norm2", layer_norm<Width>>,
                          named<"up", linear<Width, Mlp, true, initially, one<"mlp.c_fc", Mlp>>>,
                          named<"gelu", gelu<Mlp>>,
                          named<"down", linear<Mlp, Width, true, onto_residual, one<"mlp.c_proj", Width>>>>>;
    using type = stack<named<"embedding", embedding<Vocabulary, Width, Context>>,
                       named<"blocks", repeat<Layers, block>>, named<"norm", layer_norm<Width>>,
                       named<"head", head_with_loss<Width, Vocabulary, true>>>;
};

template <class Model, class Numbers>
using gpt2_of =
    gpt2_family<Numbers::template value<layers>(), Numbers::template value<heads>(),
                snug::detail::head_width_of<Model, Numbers>::value, Numbers::template value<width>(),
                Numbers::template value<mlp, 4 * Numbers::template value<width>()>(),
                Numbers::template value<vocabulary>(), Numbers::template value<context>()>;

}  // namespace detail

/// GPT-2 (Radford et al., "Language Models are Unsupervised Multitask Learners"): LayerNorm before each part, learned
/// positions, GELU in tanh form, biases, head tied to the embedding. Options: layers, heads, width, vocabulary, context,
/// mlp (default 4 · width).
template <class... Options>
struct gpt2 : detail::gpt2_of<gpt2<Options...>, detail::gpt2_numbers<Options...>>::type {
    /// As values, to be compared with what a file says.
    static constexpr model_numbers numbers = detail::gpt2_of<gpt2, detail::gpt2_numbers<Options...>>::numbers;
};

}  // namespace snug::models
