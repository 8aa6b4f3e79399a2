// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

#include <snug/layers/head_norm.hpp>
#include <snug/models/llama.hpp>

namespace snug::SNUG_TARGET::models {

/// Gemma in the files of others.
namespace families {

namespace detail {

/// In GGUF every norm is stored as what it multiplies by, 1 more than here.
inline constexpr parameter_in_files gemma_parameters[] = {
    {"embedding.table", "model.embed_tokens.weight", "token_embd.weight"},
    {"norm.weight", "model.norm.weight", "output_norm.weight", stored::one_more},
    {"head.weight", "lm_head.weight", "output.weight"},
};
inline constexpr parameter_in_files gemma_block_parameters[] = {
    {"norm1.weight", "input_layernorm.weight", "attn_norm.weight", stored::one_more},
    {"qkv.weight", "self_attn.q_proj.weight", "attn_q.weight", stored::plain, rows_of_queries},
    {"qkv.weight", "self_attn.k_proj.weight", "attn_k.weight", stored::plain, rows_of_keys},
    {"qkv.weight", "self_attn.v_proj.weight", "attn_v.weight", stored::plain, rows_of_keys},
    {"head_norm.query", "self_attn.q_norm.weight", "attn_q_norm.weight", stored::one_more},
    {"head_norm.key", "self_attn.k_norm.weight", "attn_k_norm.weight", stored::one_more},
    {"projection.weight", "self_attn.o_proj.weight", "attn_output.weight"},
    {"post_norm1.weight", "post_attention_layernorm.weight", "post_attention_norm.weight", stored::one_more},
    {"norm2.weight", "pre_feedforward_layernorm.weight", "ffn_norm.weight", stored::one_more},
    {"gate_up.weight", "mlp.gate_proj.weight", "ffn_gate.weight", stored::plain, rows_of_mlp},
    {"gate_up.weight", "mlp.up_proj.weight", "ffn_up.weight", stored::plain, rows_of_mlp},
    {"down.weight", "mlp.down_proj.weight", "ffn_down.weight"},
    {"post_norm2.weight", "post_feedforward_layernorm.weight", "post_ffw_norm.weight", stored::one_more},
};

constexpr std::array<config_number, 9> gemma_config_numbers(index_t vocabulary, index_t context) {
    return {{{&model_numbers::vocabulary, "vocab_size", vocabulary},
             {&model_numbers::context, "max_position_embeddings", context},
             {&model_numbers::width, "hidden_size", 2304},
             {&model_numbers::mlp, "intermediate_size", 9216},
             {&model_numbers::layers, "num_hidden_layers", 26},
             {&model_numbers::heads, "num_attention_heads", 8},
             {&model_numbers::kv_heads, "num_key_value_heads", 4, &model_numbers::heads},
             {&model_numbers::head_width, "head_dim", 256},
             {&model_numbers::query_scalar, "query_pre_attn_scalar", 256}}};
}
inline constexpr auto gemma3_numbers = gemma_config_numbers(262208, 131072);

inline constexpr std::string_view gemma_activations[] = {"gelu_pytorch_tanh"};
inline constexpr config_flag gemma_flags[] = {{&model_numbers::tied_head, "tie_word_embeddings", true}};
/// Its classes do not look at them.
inline constexpr std::string_view gemma_ignored[] = {"_sliding_window_pattern", "cache_implementation",
                                                     "hidden_act"};
/// The default is token 0, whose row would not train there.
inline constexpr config_constant gemma_written[] = {{"pad_token_id", "null"}};

/// No key of GGUF says it: it is in llama.cpp's code.
constexpr index_t gemma3_query_scalar(model_numbers const& n) {
    return n.layers == 62 ? n.width / n.heads : n.head_width;
}

inline constexpr config_type gemma3_types[] = {{.model_type = "gemma3_text",
                                                .architecture = "Gemma3ForCausalLM",
                                                .gguf = "gemma3",
                                                .activation_key = "hidden_activation",
                                                .activations = gemma_activations,
                                                .numbers = gemma3_numbers,
                                                .reals = llama_reals,
                                                .flags = gemma_flags,
                                                .traits = without_biases,
                                                .window = window_rule::all_but_every_nth,
                                                .is_rotary = true,
                                                .rope_theta = 1000000,
                                                .local_rope_theta = 10000,
                                                .full_attention_interval = 6,
                                                .query_scalar_in_gguf = gemma3_query_scalar,
                                                .written = gemma_written,
                                                .ignored = gemma_ignored,
                                                .with_images = "gemma3"}};

inline constexpr std::string_view gemma3_prefixes[] = {"language_model.model.", "model.language_model."};
inline constexpr std::string_view gemma3_others[] = {
    "vision_tower.", "model.vision_tower.", "multi_modal_projector.", "model.multi_modal_projector."};

}  // namespace detail

inline constexpr model_family gemma3{.name = "gemma3",
                                     .prefix = "model.",
                                     .blocks = "layers",
                                     .parameters = detail::gemma_parameters,
                                     .block_parameters = detail::gemma_block_parameters,
                                     .types = detail::gemma3_types,
                                     .other_prefixes = detail::gemma3_prefixes,
                                     .other_modules = detail::gemma3_others};

}  // namespace families

template <class... Options>
struct gemma3;

namespace detail {

template <class... Options>
struct gemma3_for {
    using model = gemma3<Options...>;
    template <class... Numbers>
    using given = snug::detail::given_numbers<
        model,
        snug::detail::names<layers, heads, head_width, width, mlp, vocabulary, context, sliding_window>,
        snug::detail::names<kv_heads, rope_theta, local_rope_theta, full_attention_interval, query_scalar,
                            norm_epsilon_inverse, tied_head>,
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
    static constexpr index_t window = options::template value<sliding_window>();
    static constexpr index_t interval = options::template value<full_attention_interval, 6>();
    static constexpr index_t theta = options::template value<rope_theta, 1000000>();
    static constexpr index_t local_theta = options::template value<local_rope_theta, 10000>();
    static constexpr index_t scalar = options::template value<query_scalar, head>();
    static constexpr index_t epsilon_inverse = options::template value<norm_epsilon_inverse, 1000000>();
    static constexpr bool tied = options::template value<tied_head, 1>() != 0;

    static constexpr model_numbers numbers{.family = families::gemma3.name,
                                           .layers = blocks,
                                           .heads = queries,
                                           .kv_heads = keys,
                                           .head_width = head,
                                           .width = stream,
                                           .mlp = inner,
                                           .vocabulary = tokens,
                                           .context = longest,
                                           .sliding_window = window < longest && interval != 1 ? window : 0,
                                           .full_attention_interval = interval <= blocks ? interval : 0,
                                           .query_scalar = scalar,
                                           .rope_theta = static_cast<double>(theta),
                                           .local_rope_theta = static_cast<double>(local_theta),
                                           .norm_epsilon = 1 / static_cast<double>(epsilon_inverse),
                                           .tied_head = tied,
                                           .rope_scaling = scaling::numbers()};

    using epsilon = std::ratio<1, epsilon_inverse>;
    using norm = zero_centered_rms_norm<stream, epsilon>;
    using start = initial::normal<std::ratio<2, 100>>;
    using onto_residual = initial::normal<std::ratio<2, 100>, 2 * blocks>;
    template <index_t Window, class Rotation>
    using block = sequence<
        residual<
            named<"norm1", norm>,
            named<"qkv", linear<stream, (queries + 2 * keys) * head, false, start,
                                parts<part<"self_attn.q_proj", queries * head>,
                                      part<"self_attn.k_proj", keys * head>,
                                      part<"self_attn.v_proj", keys * head>>>>,
            named<"head_norm", zero_centered_query_key_norm<queries, keys, head, epsilon>>,
            named<"attention", attention_of<attention_shape<queries, keys, head, Window, scalar>, Rotation>>,
            named<"projection", linear<queries * head, stream, false, onto_residual,
                                       parts<part<"self_attn.o_proj", stream>>>>,
            named<"post_norm1", norm>>,
        residual<
            named<"norm2", norm>,
            named<"gate_up", linear<stream, 2 * inner, false, start,
                                    parts<part<"mlp.gate_proj", inner>, part<"mlp.up_proj", inner>>>>,
            named<"geglu", geglu<inner>>,
            named<"down", linear<inner, stream, false, onto_residual, parts<part<"mlp.down_proj", stream>>>>,
            named<"post_norm2", norm>>>;
    using type =
        stack<named<"embedding", scaled_embedding<tokens, stream>>,
              named<"blocks", every_nth<blocks, interval, block<numbers.sliding_window, rotary<local_theta>>,
                                        block<0, rotary<theta, scaling>>>>,
              named<"norm", norm>, named<"head", head_with_loss<stream, tokens, tied>>>;
};

}  // namespace detail

/// Gemma 3 without images (arXiv 2503.19786): norms around attention and the feed-forward part whose factors are 1 +
/// weight, queries and keys normalised by head, GeGLU, an embedding times √width. Attention of every sixth block sees
/// all tokens, that of the others a window, with a rotary base of their own. Options: layers, heads, kv_heads,
/// head_width, width, mlp, vocabulary, context, sliding_window, full_attention_interval, rope_theta and rope_scaling of
/// the blocks that see all, local_rope_theta of the others, query_scalar, norm_epsilon_inverse, tied_head<0 or 1>.
template <class... Options>
struct gemma3 : detail::gemma3_for<Options...>::type {
    /// As values, to be compared with what a file says.
    static constexpr model_numbers numbers = detail::gemma3_for<Options...>::numbers;
    /// In the files of others.
    static constexpr model_family const& family = families::gemma3;
    /// Rotary positions have no table; this is what the family was trained for.
    static constexpr index_t longest_sequence = detail::gemma3_for<Options...>::longest;
};

}  // namespace snug::SNUG_TARGET::models
