// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <snug/layers/head_norm.hpp>
#include <snug/models/llama.hpp>

namespace snug::SNUG_TARGET::models {

/// Qwen3 in the files of others.
namespace families {

namespace detail {

inline constexpr parameter_in_files qwen3_block_parameters[] = {
    {"norm1.weight", "input_layernorm.weight", "attn_norm.weight"},
    {"qkv.weight", "self_attn.q_proj.weight", "attn_q.weight", stored::plain, rows_of_queries},
    {"qkv.weight", "self_attn.k_proj.weight", "attn_k.weight", stored::plain, rows_of_keys},
    {"qkv.weight", "self_attn.v_proj.weight", "attn_v.weight", stored::plain, rows_of_keys},
    {"head_norm.query", "self_attn.q_norm.weight", "attn_q_norm.weight"},
    {"head_norm.key", "self_attn.k_norm.weight", "attn_k_norm.weight"},
    {"projection.weight", "self_attn.o_proj.weight", "attn_output.weight"},
    {"norm2.weight", "post_attention_layernorm.weight", "ffn_norm.weight"},
    {"gate_up.weight", "mlp.gate_proj.weight", "ffn_gate.weight", stored::plain, rows_of_mlp},
    {"gate_up.weight", "mlp.up_proj.weight", "ffn_up.weight", stored::plain, rows_of_mlp},
    {"down.weight", "mlp.down_proj.weight", "ffn_down.weight"},
};

inline constexpr config_number qwen3_numbers[] = {
    {&model_numbers::vocabulary, "vocab_size", 151936},
    {&model_numbers::context, "max_position_embeddings", 32768},
    {&model_numbers::width, "hidden_size", 4096},
    {&model_numbers::mlp, "intermediate_size", 22016},
    {&model_numbers::layers, "num_hidden_layers", 32},
    {&model_numbers::heads, "num_attention_heads", 32},
    {&model_numbers::kv_heads, "num_key_value_heads", 32, &model_numbers::heads},
    {&model_numbers::head_width, "head_dim", 128}};

inline constexpr config_type qwen3_types[] = {like_llama({.model_type = "qwen3",
                                                          .architecture = "Qwen3ForCausalLM",
                                                          .gguf = "qwen3",
                                                          .numbers = qwen3_numbers,
                                                          .traits = without_biases,
                                                          .window = window_rule::upper_layers})};

}  // namespace detail

inline constexpr model_family qwen3{.name = "qwen3",
                                    .prefix = "model.",
                                    .blocks = "layers",
                                    .parameters = detail::llama_parameters,
                                    .block_parameters = detail::qwen3_block_parameters,
                                    .types = detail::qwen3_types};

}  // namespace families

template <class... Options>
struct qwen3;

namespace detail {

template <class... Options>
struct qwen3_for {
    using model = qwen3<Options...>;
    template <class... Numbers>
    using given = snug::detail::given_numbers<
        model, snug::detail::names<layers, heads, head_width, width, mlp, vocabulary, context>,
        snug::detail::names<kv_heads, rope_theta, norm_epsilon_inverse, sliding_window, tied_head>,
        Numbers...>;
    using options =
        meta::mp::mp_apply<given,
                           meta::mp::mp_remove_if<meta::list<Options...>, snug::detail::is_rope_scaling>>;
    using scaling = typename snug::detail::rope_scaling_among<model, Options...>::type;

    static constexpr index_t blocks = options::template value<layers>();
    static constexpr index_t queries = options::template value<heads>();
    static constexpr index_t keys = options::template value<kv_heads, queries>();
    static constexpr index_t head = options::template value<head_width>();
    static constexpr index_t stream = options::template value<width>();
    static constexpr index_t inner = options::template value<mlp>();
    static constexpr index_t tokens = options::template value<vocabulary>();
    static constexpr index_t longest = options::template value<context>();
    static constexpr index_t window = options::template value<sliding_window, 0>();
    static constexpr index_t theta = options::template value<rope_theta, 1000000>();
    static constexpr index_t epsilon_inverse = options::template value<norm_epsilon_inverse, 1000000>();
    static constexpr bool tied = options::template value<tied_head, 0>() != 0;

    static constexpr model_numbers numbers{.family = families::qwen3.name,
                                           .layers = blocks,
                                           .heads = queries,
                                           .kv_heads = keys,
                                           .head_width = head,
                                           .width = stream,
                                           .mlp = inner,
                                           .vocabulary = tokens,
                                           .context = longest,
                                           .sliding_window = window < longest ? window : 0,
                                           .rope_theta = static_cast<double>(theta),
                                           .norm_epsilon = 1 / static_cast<double>(epsilon_inverse),
                                           .tied_head = tied,
                                           .rope_scaling = scaling::numbers()};

    using epsilon = std::ratio<1, epsilon_inverse>;
    using norm = rms_norm<stream, epsilon>;
    using start = initial::normal<std::ratio<2, 100>>;
    using onto_residual = initial::normal<std::ratio<2, 100>, 2 * blocks>;
    using block = sequence<
        residual<named<"norm1", norm>,
                 named<"qkv", linear<stream, (queries + 2 * keys) * head, false, start,
                                     parts<part<"self_attn.q_proj", queries * head>,
                                           part<"self_attn.k_proj", keys * head>,
                                           part<"self_attn.v_proj", keys * head>>>>,
                 named<"head_norm", query_key_norm<queries, keys, head, epsilon>>,
                 named<"attention",
                       attention_within<queries, keys, head, numbers.sliding_window, rotary<theta, scaling>>>,
                 named<"projection", linear<queries * head, stream, false, onto_residual,
                                            parts<part<"self_attn.o_proj", stream>>>>>,
        residual<named<"norm2", norm>,
                 named<"gate_up", linear<stream, 2 * inner, false, start,
                                         parts<part<"mlp.gate_proj", inner>, part<"mlp.up_proj", inner>>>>,
                 named<"swiglu", swiglu<inner>>,
                 named<"down",
                       linear<inner, stream, false, onto_residual, parts<part<"mlp.down_proj", stream>>>>>>;
    using type = stack<named<"embedding", embedding<tokens, stream>>, named<"blocks", repeat<blocks, block>>,
                       named<"norm", norm>, named<"head", head_with_loss<stream, tokens, tied>>>;
};

}  // namespace detail

/// Qwen3 (arXiv 2505.09388): Llama with RMSNorm of each head of queries and keys, and heads of a width of their own.
/// Options: layers, heads, kv_heads, head_width, width, mlp, vocabulary, context, rope_theta, rope_scaling,
/// norm_epsilon_inverse, sliding_window, tied_head<0 or 1>.
template <class... Options>
struct qwen3 : detail::qwen3_for<Options...>::type {
    /// As values, to be compared with what a file says.
    static constexpr model_numbers numbers = detail::qwen3_for<Options...>::numbers;
    /// In the files of others.
    static constexpr model_family const& family = families::qwen3;
    /// Rotary positions have no table; this is what the family was trained for.
    static constexpr index_t longest_sequence = detail::qwen3_for<Options...>::longest;
};

}  // namespace snug::SNUG_TARGET::models
