// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>

#include <snug/layers/activations.hpp>
#include <snug/layers/attention.hpp>
#include <snug/layers/linear.hpp>
#include <snug/layers/norm.hpp>
#include <snug/models/family.hpp>
#include <snug/models/numbers.hpp>
#include <snug/models/options.hpp>
#include <snug/models/stack.hpp>

namespace snug::SNUG_TARGET::models {

/// Llama and its relatives in the files of others.
namespace families {

namespace detail {

constexpr index_t rows_of_queries(model_numbers const& n) { return n.heads * n.head_width; }
constexpr index_t rows_of_keys(model_numbers const& n) { return n.kv_heads * n.head_width; }
constexpr index_t rows_of_mlp(model_numbers const& n) { return n.mlp; }

inline constexpr parameter_in_files llama_parameters[] = {
    {"embedding.table", "model.embed_tokens.weight", "token_embd.weight"},
    {"norm.weight", "model.norm.weight", "output_norm.weight"},
    {"head.weight", "lm_head.weight", "output.weight"},
};
inline constexpr parameter_in_files llama_block_parameters[] = {
    {"norm1.weight", "input_layernorm.weight", "attn_norm.weight"},
    {"qkv.weight", "self_attn.q_proj.weight", "attn_q.weight", stored::rotary, rows_of_queries},
    {"qkv.weight", "self_attn.k_proj.weight", "attn_k.weight", stored::rotary, rows_of_keys},
    {"qkv.weight", "self_attn.v_proj.weight", "attn_v.weight", stored::plain, rows_of_keys},
    {"qkv.bias", "self_attn.q_proj.bias", "attn_q.bias", stored::rotary, rows_of_queries},
    {"qkv.bias", "self_attn.k_proj.bias", "attn_k.bias", stored::rotary, rows_of_keys},
    {"qkv.bias", "self_attn.v_proj.bias", "attn_v.bias", stored::plain, rows_of_keys},
    {"projection.weight", "self_attn.o_proj.weight", "attn_output.weight"},
    {"norm2.weight", "post_attention_layernorm.weight", "ffn_norm.weight"},
    {"gate_up.weight", "mlp.gate_proj.weight", "ffn_gate.weight", stored::plain, rows_of_mlp},
    {"gate_up.weight", "mlp.up_proj.weight", "ffn_up.weight", stored::plain, rows_of_mlp},
    {"down.weight", "mlp.down_proj.weight", "ffn_down.weight"},
};

/// The defaults that the types differ in; 0 key-value heads: as many as heads.
struct llama_defaults {
    index_t vocabulary;
    index_t context;
    index_t mlp;
    index_t kv_heads;
};
constexpr std::array<config_number, 8> llama_config_numbers(llama_defaults defaults) {
    return {{{&model_numbers::vocabulary, "vocab_size", defaults.vocabulary},
             {&model_numbers::context, "max_position_embeddings", defaults.context},
             {&model_numbers::width, "hidden_size", 4096},
             {&model_numbers::mlp, "intermediate_size", defaults.mlp},
             {&model_numbers::layers, "num_hidden_layers", 32},
             {&model_numbers::heads, "num_attention_heads", 32},
             {&model_numbers::kv_heads, "num_key_value_heads", defaults.kv_heads, &model_numbers::heads},
             {&model_numbers::head_width, "head_dim"}}};
}
inline constexpr auto llama_numbers =
    llama_config_numbers({.vocabulary = 32000, .context = 2048, .mlp = 11008, .kv_heads = 0});
inline constexpr auto mistral_numbers =
    llama_config_numbers({.vocabulary = 32000, .context = 131072, .mlp = 14336, .kv_heads = 8});
inline constexpr auto qwen2_numbers =
    llama_config_numbers({.vocabulary = 151936, .context = 32768, .mlp = 22016, .kv_heads = 32});

inline constexpr std::string_view llama_activations[] = {"silu", "swish"};
inline constexpr config_real llama_reals[] = {
    {&model_numbers::norm_epsilon, "rms_norm_eps", 1e-6, "attention.layer_norm_rms_epsilon"}};
inline constexpr config_flag llama_flags[] = {{&model_numbers::tied_head, "tie_word_embeddings", false}};
inline constexpr config_trait without_biases[] = {{&model_numbers::qkv_bias, false}};
inline constexpr config_trait with_biases[] = {{&model_numbers::qkv_bias, true}};

/// A type, with what all of them have.
constexpr config_type like_llama(config_type type) {
    type.activation_key = "hidden_act";
    type.activations = llama_activations;
    type.reals = llama_reals;
    type.flags = llama_flags;
    type.is_rotary = true;
    return type;
}
/// Biases of queries, keys and values alone are what sets Qwen2 apart, a window Mistral.
inline constexpr config_type llama_types[] = {like_llama({.model_type = "llama",
                                                          .architecture = "LlamaForCausalLM",
                                                          .gguf = "llama",
                                                          .numbers = llama_numbers,
                                                          .traits = without_biases,
                                                          .window = window_rule::none,
                                                          .has_rotary_pairs = true}),
                                              like_llama({.model_type = "mistral",
                                                          .architecture = "MistralForCausalLM",
                                                          .numbers = mistral_numbers,
                                                          .traits = without_biases,
                                                          .window = window_rule::every_layer}),
                                              like_llama({.model_type = "qwen2",
                                                          .architecture = "Qwen2ForCausalLM",
                                                          .gguf = "qwen2",
                                                          .numbers = qwen2_numbers,
                                                          .traits = with_biases,
                                                          .window = window_rule::upper_layers})};

}  // namespace detail

inline constexpr model_family llama{.name = "llama",
                                    .prefix = "model.",
                                    .blocks = "layers",
                                    .parameters = detail::llama_parameters,
                                    .block_parameters = detail::llama_block_parameters,
                                    .types = detail::llama_types};

}  // namespace families

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
    static constexpr model_numbers numbers{.family = families::llama.name,
                                           .layers = Layers,
                                           .heads = Heads,
                                           .kv_heads = KvHeads,
                                           .head_width = HeadWidth,
                                           .width = Width,
                                           .mlp = Mlp,
                                           .vocabulary = Vocabulary,
                                           .context = Context,
                                           .sliding_window = Window < Context ? Window : 0,
                                           .rope_theta = static_cast<double>(Theta),
                                           .norm_epsilon = 1 / static_cast<double>(EpsilonInverse),
                                           .tied_head = Tied,
                                           .qkv_bias = QkvBias,
                                           .rope_scaling = Scaling::numbers()};
    using norm = rms_norm<Width, std::ratio<1, EpsilonInverse>>;
    using onto_residual = initial::normal<std::ratio<2, 100>, 2 * Layers>;
    template <class Rotation>
    using block_with = sequence<
        residual<
            named<"norm1", norm>,
            named<"qkv", linear<Width, (Heads + 2 * KvHeads) * HeadWidth, QkvBias,
                                initial::normal<std::ratio<2, 100>>,
                                parts<part<"self_attn.q_proj", Heads * HeadWidth>,
                                      part<"self_attn.k_proj", KvHeads * HeadWidth>,
                                      part<"self_attn.v_proj", KvHeads * HeadWidth>>>>,
            named<"attention", attention_within<Heads, KvHeads, HeadWidth, numbers.sliding_window, Rotation>>,
            named<"projection", linear<Heads * HeadWidth, Width, false, onto_residual,
                                       parts<part<"self_attn.o_proj", Width>>>>>,
        residual<
            named<"norm2", norm>,
            named<"gate_up", linear<Width, 2 * Mlp, false, initial::normal<std::ratio<2, 100>>,
                                    parts<part<"mlp.gate_proj", Mlp>, part<"mlp.up_proj", Mlp>>>>,
            named<"swiglu", swiglu<Mlp>>,
            named<"down", linear<Mlp, Width, false, onto_residual, parts<part<"mlp.down_proj", Width>>>>>>;
    using rotated = rotary<Theta, Scaling>;
    template <class Blocks>
    using stack_of = stack<named<"embedding", embedding<Vocabulary, Width>>, named<"blocks", Blocks>,
                           named<"norm", norm>, named<"head", head_with_loss<Width, Vocabulary, Tied>>>;
    using type = stack_of<repeat<Layers, block_with<rotated>>>;
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

/// Llama and its relatives (Touvron et al., arXiv 2302.13971 and 2307.09288): RMSNorm before each part,
/// rotary positions, grouped queries, SwiGLU, no biases. Options: layers, heads, kv_heads, head_width, width,
/// mlp, vocabulary, context, rope_theta, rope_scaling, norm_epsilon_inverse, sliding_window, tied_head<0 or
/// 1>, qkv_bias<0 or 1>.
template <class... Options>
struct llama : detail::llama_for<Options...>::type {
    /// As values, to be compared with what a file says.
    static constexpr model_numbers numbers = detail::llama_for<Options...>::numbers;
    /// In the files of others.
    static constexpr model_family const& family = families::llama;
    /// Rotary positions have no table; this is what the family was trained for.
    static constexpr index_t longest_sequence = detail::llama_numbers<Options...>::template value<context>();
};

}  // namespace snug::SNUG_TARGET::models
