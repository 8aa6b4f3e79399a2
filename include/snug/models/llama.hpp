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
struct llama;

namespace detail {

template <class Model, class Numbers>
struct given_to_llama;
template <class Model, class... Numbers>
struct given_to_llama<Model, meta::list<Numbers...>> {
    using type = snug::detail::given_numbers<
        Model, snug::detail::names<layers, heads, width, mlp, vocabulary, context>,
        snug::detail::names<kv_heads, head_width, rope_theta, norm_epsilon_inverse, sliding_window, tied_head,
                            qkv_bias>,
        Numbers...>;
};

/// All options but the scaling of rotary frequencies are numbers.
template <class... Options>
using llama_numbers = typename given_to_llama<
    llama<Options...>, meta::mp::mp_remove_if<meta::list<Options...>, snug::detail::is_rope_scaling>>::type;

template <index_t Layers, index_t Heads, index_t KvHeads, index_t HeadWidth, index_t Width, index_t Mlp,
          index_t Vocabulary, index_t Context, index_t Window, index_t Theta, class Scaling,
          index_t EpsilonInverse, bool Tied, bool QkvBias>
struct llama_family {
    static constexpr model_numbers numbers{.family = "llama",
                                           .layers = Layers,
                                           .heads = Heads,
                                           .kv_heads = KvHeads,
                                           .head_width = HeadWidth,
                                           .width = Width,
                                           .mlp = Mlp,
                                           .vocabulary = Vocabulary,
                                           .context = Window != 0 && Window < Context ? Window : Context,
                                           .sliding_window = Window,
                                           .rope_theta = static_cast<double>(Theta),
                                           .norm_epsilon = 1 / static_cast<double>(EpsilonInverse),
                                           .tied_head = Tied,
                                           .qkv_bias = QkvBias,
                                           .rope_scaling = Scaling::numbers()};
    using norm = rms_norm<Width, std::ratio<1, EpsilonInverse>>;
    using onto_residual = initial::normal<std::ratio<2, 100>, 2 * Layers>;
    using block = sequence<
        residual<named<"norm1", norm>,
                 named<"qkv", linear<Width, (Heads + 2 * KvHeads) * HeadWidth, QkvBias,
                                     initial::normal<std::ratio<2, 100>>,
                                     parts<part<"self_attn.q_proj", Heads * HeadWidth>,
                                           part<"self_attn.k_proj", KvHeads * HeadWidth>,
                                           part<"self_attn.v_proj", KvHeads * HeadWidth>>>>,
                 named<"attention", causal_attention<Heads, KvHeads, HeadWidth, rotary<Theta, Scaling>>>,
                 named<"projection", linear<Heads * HeadWidth, Width, false, onto_residual,
                                            parts<part<"self_attn.o_proj", Width>>>>>,
        residual<
            named<"norm2", norm>,
            named<"gate_up", linear<Width, 2 * Mlp, false, initial::normal<std::ratio<2, 100>>,
                                    parts<part<"mlp.gate_proj", Mlp>, part<"mlp.up_proj", Mlp>>>>,
            named<"swiglu", swiglu<Mlp>>,
            named<"down", linear<Mlp, Width, false, onto_residual, parts<part<"mlp.down_proj", Width>>>>>>;
    using type =
        stack<named<"embedding", embedding<Vocabulary, Width>>, named<"blocks", repeat<Layers, block>>,
              named<"norm", norm>, named<"head", head_with_loss<Width, Vocabulary, Tied>>>;
};

template <class Model, class Numbers, class Scaling>
using llama_of =
    llama_family<Numbers::template value<layers>(), Numbers::template value<heads>(),
                 Numbers::template value<kv_heads, Numbers::template value<heads>()>(),
                 snug::detail::head_width_of<Model, Numbers>::value, Numbers::template value<width>(),
                 Numbers::template value<mlp>(), Numbers::template value<vocabulary>(),
                 Numbers::template value<context>(), Numbers::template value<sliding_window, 0>(),
                 Numbers::template value<rope_theta, 10000>(), Scaling,
                 Numbers::template value<norm_epsilon_inverse, 100000>(),
                 Numbers::template value<tied_head, 0>() != 0, Numbers::template value<qkv_bias, 0>() != 0>;

template <class... Options>
using llama_for = llama_of<llama<Options...>, llama_numbers<Options...>,
                           typename snug::detail::rope_scaling_among<llama<Options...>, Options...>::type>;

}  // namespace detail

/// Llama and its relatives (Touvron et al., arXiv 2302.13971 and 2307.09288): RMSNorm before each part, rotary positions,
/// grouped queries, SwiGLU, no biases. Options: layers, heads, kv_heads, head_width, width, mlp, vocabulary, context,
/// rope_theta, rope_scaling, norm_epsilon_inverse, sliding_window, tied_head<0 or 1>, qkv_bias<0 or 1>.
template <class... Options>
struct llama : detail::llama_for<Options...>::type {
    /// As values, to be compared with what a file says.
    static constexpr model_numbers numbers = detail::llama_for<Options...>::numbers;
    /// Rotary positions have no table; this is what the family was trained for.
    static constexpr index_t longest_sequence = detail::llama_numbers<Options...>::template value<context>();
};

}  // namespace snug::models
