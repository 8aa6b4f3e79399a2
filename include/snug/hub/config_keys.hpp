// SPDX-License-Identifier: Apache-2.0
#pragma once

/// \file
/// What is understood of a model's `config.json` and of a GGUF file's metadata, as lists, beside the keys that the
/// tables of a family name. A key is understood, or harmless with any value, or harmless with the values named here;
/// any other is refused, as it may change the mathematics. `docs/weights.md` has the same lists as tables.

#include <string_view>
#include <vector>

#include <snug/models/family.hpp>

namespace snug::SNUG_TARGET::io {

/// A key, and the values under which it means nothing here, as JSON writes them; empty: any value.
struct harmless_key {
    std::string_view name;
    std::string_view values = {};
};

/// Keys of `config.json` that numbers of a type come from.
inline std::vector<std::string_view> understood_keys(models::config_type const& type) {
    std::vector<std::string_view> keys{"model_type"};
    if (!type.activations.empty()) keys.push_back(type.activation_key);
    for (auto const& number : type.numbers) {
        keys.push_back(number.key);
        if (!number.other_key.empty()) keys.push_back(number.other_key);
    }
    for (auto const& real : type.reals) keys.push_back(real.key);
    for (auto const& flag : type.flags) keys.push_back(flag.key);
    if (type.is_rotary)
        keys.insert(keys.end(),
                    {"original_max_position_embeddings", "rope_parameters", "rope_scaling", "rope_theta"});
    if (type.no_rope_interval != 0) keys.insert(keys.end(), {"no_rope_layer_interval", "no_rope_layers"});
    keys.insert(keys.end(), type.ignored.begin(), type.ignored.end());
    using models::window_rule;
    if (type.window >= window_rule::none) keys.push_back("layer_types");
    if (type.window >= window_rule::every_layer)
        keys.insert(keys.end(), {"sliding_window", "use_sliding_window"});
    if (type.window >= window_rule::upper_layers) keys.push_back("max_window_layers");
    return keys;
}

/// Keys of `config.json` that change nothing here. A value of null is harmless in every key that is not understood, but for flags.
inline constexpr harmless_key harmless_in_config[] = {
    // What the file is, and who wrote it.
    {"_commit_hash"},
    {"_from_model_config"},
    {"_name_or_path"},
    {"architectures"},
    {"dtype"},
    {"finetuning_task"},
    {"is_llama_config"},
    {"name_or_path"},
    {"torch_dtype"},
    {"transformers.js_config"},
    {"transformers_version"},
    {"unsloth_fixed"},
    {"unsloth_version"},
    // Tokens.
    {"bos_token_id"},
    {"decoder_start_token_id"},
    {"eos_token_id"},
    {"model_max_length"},
    {"pad_token_id"},
    {"prefix"},
    {"sep_token_id"},
    {"tokenizer_class"},
    // How a program runs the model.
    {"_attn_implementation"},
    {"_attn_implementation_autoset"},
    {"_attn_implementation_internal"},
    {"_experts_implementation_internal"},
    {"_flash_attn_2_enabled"},
    {"attn_implementation"},
    {"chunk_size_feed_forward"},
    {"experts_implementation"},
    {"gradient_checkpointing"},
    {"is_decoder"},
    {"output_attentions"},
    {"output_hidden_states"},
    {"output_past"},
    {"return_dict"},
    {"tf_legacy_loss"},
    {"tie_encoder_decoder"},
    {"tie_last_hidden_states"},
    {"torchscript"},
    {"use_bfloat16"},
    {"use_cache"},
    // Training: first weights, dropout.
    {"attention_dropout"},
    {"attn_pdrop"},
    {"embd_pdrop"},
    {"initializer_range"},
    {"resid_pdrop"},
    // Heads for other tasks, whose weights are refused.
    {"_num_labels"},
    {"id2label"},
    {"label2id"},
    {"num_labels"},
    {"problem_type"},
    {"summary_activation"},
    {"summary_first_dropout"},
    {"summary_proj_to_labels"},
    {"summary_type"},
    {"summary_use_proj"},
    {"task_specific_params"},
    // Generation.
    {"assistant_confidence_threshold"},
    {"assistant_lookbehind"},
    {"bad_words_ids"},
    {"begin_suppress_tokens"},
    {"diversity_penalty"},
    {"do_sample"},
    {"early_stopping"},
    {"encoder_no_repeat_ngram_size"},
    {"encoder_repetition_penalty"},
    {"epsilon_cutoff"},
    {"eta_cutoff"},
    {"exponential_decay_length_penalty"},
    {"forced_bos_token_id"},
    {"forced_eos_token_id"},
    {"length_penalty"},
    {"max_length"},
    {"max_new_tokens"},
    {"min_length"},
    {"no_repeat_ngram_size"},
    {"num_assistant_tokens"},
    {"num_assistant_tokens_schedule"},
    {"num_beam_groups"},
    {"num_beams"},
    {"num_return_sequences"},
    {"output_scores"},
    {"remove_invalid_values"},
    {"repetition_penalty"},
    {"return_dict_in_generate"},
    {"suppress_tokens"},
    {"target_lookbehind"},
    {"temperature"},
    {"top_k"},
    {"top_p"},
    {"typical_p"},
    // Lengths beside the one that counts.
    {"max_sequence_length"},
    {"n_ctx"},
    // What would be other mathematics.
    {"add_cross_attention", "false"},
    {"attention_bias", "false"},
    {"is_causal", "true"},
    {"is_encoder_decoder", "false"},
    {"mlp_bias", "false"},
    {"partial_rotary_factor", "1"},
    {"pretraining_tp", "1"},
    {"pruned_heads", "{}"},
    {"reorder_and_upcast_attn", "false"},
    {"rope_interleaved", "false"},
    {"scale_attn_by_inverse_layer_idx", "false"},
    {"scale_attn_weights", "true"},
    {"use_bidirectional_attention", "false"},
    {"use_mrope", "false"},
    {"use_sliding_window", "false"}};

/// Keys of GGUF that a model's numbers come from, without the architecture that they begin with.
inline constexpr std::string_view understood_of_gguf[] = {
    "attention.head_count",     "attention.head_count_kv", "attention.key_length",
    "attention.sliding_window", "attention.value_length",  "block_count",
    "context_length",           "embedding_length",        "feed_forward_length"};
/// And those that are not of every architecture.
inline std::vector<std::string_view> understood_keys_of_gguf(models::config_type const& type) {
    std::vector<std::string_view> keys;
    for (auto const& real : type.reals) keys.push_back(real.gguf);
    if (type.is_rotary)
        keys.insert(keys.end(), {"rope.dimension_count", "rope.freq_base", "rope.scale_linear",
                                 "rope.scaling.factor", "rope.scaling.type"});
    return keys;
}

/// Keys behind an architecture that change nothing here.
inline constexpr harmless_key harmless_in_gguf[] = {{"rope.scaling.finetuned"},
                                                    {"rope.scaling.original_context_length"},
                                                    {"tensor_data_layout"},
                                                    {"vocab_size"},
                                                    {"attention.causal", "true"},
                                                    {"attn_logit_softcapping", "0"},
                                                    {"expert_count", "0"},
                                                    {"expert_used_count", "0"},
                                                    {"final_logit_softcapping", "0"},
                                                    {"pooling_type", "0"},
                                                    {"rope.scaling.attn_factor", "1"},
                                                    {"use_parallel_residual", "false"}};

/// Beginnings of keys that describe the file, its making or its tokens.
inline constexpr std::string_view harmless_groups_in_gguf[] = {"general.", "tokenizer.", "quantize.imatrix.",
                                                               "split.", "mradermacher."};

}  // namespace snug::SNUG_TARGET::io
