// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <snug/layers/activations.hpp>
#include <snug/layers/attention.hpp>
#include <snug/layers/linear.hpp>
#include <snug/layers/norm.hpp>
#include <snug/models/family.hpp>
#include <snug/models/numbers.hpp>
#include <snug/models/options.hpp>
#include <snug/models/stack.hpp>

namespace snug::SNUG_TARGET::models {

/// GPT-2 in the files of others.
namespace families {

namespace detail {

inline constexpr parameter_in_files gpt2_parameters[] = {
    {"embedding.table", "transformer.wte.weight", "token_embd.weight"},
    {"embedding.positions", "transformer.wpe.weight", "position_embd.weight"},
    {"norm.weight", "transformer.ln_f.weight", "output_norm.weight"},
    {"norm.bias", "transformer.ln_f.bias", "output_norm.bias"},
};
inline constexpr parameter_in_files gpt2_block_parameters[] = {
    {"norm1.weight", "ln_1.weight", "attn_norm.weight"},
    {"norm1.bias", "ln_1.bias", "attn_norm.bias"},
    {"qkv.weight", "attn.c_attn.weight", "attn_qkv.weight", stored::conv1d},
    {"qkv.bias", "attn.c_attn.bias", "attn_qkv.bias"},
    {"projection.weight", "attn.c_proj.weight", "attn_output.weight", stored::conv1d},
    {"projection.bias", "attn.c_proj.bias", "attn_output.bias"},
    {"norm2.weight", "ln_2.weight", "ffn_norm.weight"},
    {"norm2.bias", "ln_2.bias", "ffn_norm.bias"},
    {"up.weight", "mlp.c_fc.weight", "ffn_up.weight", stored::conv1d},
    {"up.bias", "mlp.c_fc.bias", "ffn_up.bias"},
    {"down.weight", "mlp.c_proj.weight", "ffn_down.weight", stored::conv1d},
    {"down.bias", "mlp.c_proj.bias", "ffn_down.bias"},
};

inline constexpr std::string_view gpt2_activations[] = {"gelu_new", "gelu_pytorch_tanh"};
/// Its class in transformers knows four of them by two names.
inline constexpr config_number gpt2_numbers[] = {
    {&model_numbers::vocabulary, "vocab_size", 50257},
    {.number = &model_numbers::context,
     .key = "n_positions",
     .missing = 1024,
     .other_key = "max_position_embeddings"},
    {.number = &model_numbers::width, .key = "n_embd", .missing = 768, .other_key = "hidden_size"},
    {.number = &model_numbers::layers, .key = "n_layer", .missing = 12, .other_key = "num_hidden_layers"},
    {.number = &model_numbers::heads, .key = "n_head", .missing = 12, .other_key = "num_attention_heads"},
    {.number = &model_numbers::mlp, .key = "n_inner", .of = &model_numbers::width, .times = 4},
};
inline constexpr config_real gpt2_reals[] = {
    {&model_numbers::norm_epsilon, "layer_norm_epsilon", 1e-5, "attention.layer_norm_epsilon"}};
inline constexpr config_flag gpt2_flags[] = {{&model_numbers::tied_head, "tie_word_embeddings", true}};
inline constexpr config_trait gpt2_traits[] = {{&model_numbers::qkv_bias, true}};

inline constexpr config_type gpt2_types[] = {{.model_type = "gpt2",
                                              .architecture = "GPT2LMHeadModel",
                                              .gguf = "gpt2",
                                              .activation_key = "activation_function",
                                              .activations = gpt2_activations,
                                              .numbers = gpt2_numbers,
                                              .reals = gpt2_reals,
                                              .flags = gpt2_flags,
                                              .traits = gpt2_traits}};

}  // namespace detail

inline constexpr model_family gpt2{.name = "gpt2",
                                   .prefix = "transformer.",
                                   .blocks = "h",
                                   .parameters = detail::gpt2_parameters,
                                   .block_parameters = detail::gpt2_block_parameters,
                                   .types = detail::gpt2_types};

}  // namespace families

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
    static constexpr model_numbers numbers{.family = families::gpt2.name,
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

/// GPT-2 (Radford et al., "Language Models are Unsupervised Multitask Learners"): LayerNorm before each part,
/// learned positions, GELU in tanh form, biases, head tied to the embedding. Options: layers, heads, width,
/// vocabulary, context, mlp (default 4 · width).
template <class... Options>
struct gpt2 : detail::gpt2_of<gpt2<Options...>, detail::gpt2_numbers<Options...>>::type {
    /// As values, to be compared with what a file says.
    static constexpr model_numbers numbers = detail::gpt2_of<gpt2, detail::gpt2_numbers<Options...>>::numbers;
    /// In the files of others.
    static constexpr model_family const& family = families::gpt2;
};

}  // namespace snug::SNUG_TARGET::models
