// SPDX-License-Identifier: Apache-2.0
#pragma once

/// \file
/// Where the parameters of a model are in weight files of others: Hugging Face's names, and those of GGUF.

#include <string>
#include <string_view>
#include <vector>

#include <snug/models/numbers.hpp>

namespace snug::io {

/// Who named the tensors of a file.
enum class naming {
    snug,          ///< this library: "blocks.3.qkv.weight"
    hugging_face,  ///< "model.layers.3.self_attn.q_proj.weight"
    gguf           ///< "blk.3.attn_q.weight"
};

/// How the rows of a matrix lie in a file.
enum class arrangement {
    rows,        ///< as here, [out, in]
    transposed,  ///< [in, out]: GPT-2's Conv1D
    rotary_pairs,  ///< [out, in], but the rows 2 i and 2 i + 1 of a head are its i-th and (width / 2 + i)-th: queries and
                   ///< keys of Llama in GGUF
};

/// Rows [first, first + count) of a parameter of one block, or elements of a vector, and the tensor that holds them.
struct weight_piece {
    std::string tensor;
    index_t first = 0;
    index_t count = 0;
    arrangement how = arrangement::rows;
};

namespace detail {

/// A parameter of a family in both namings; a fused one has several parts.
struct name_in_files {
    std::string_view parameter;
    std::string_view hugging_face;
    std::string_view gguf;
};

inline constexpr name_in_files llama_names[] = {
    {"embedding.table", "model.embed_tokens.weight", "token_embd.weight"},
    {"norm.weight", "model.norm.weight", "output_norm.weight"},
    {"head.weight", "lm_head.weight", "output.weight"},
};
inline constexpr name_in_files llama_block_names[] = {
    {"norm1.weight", "input_layernorm.weight", "attn_norm.weight"},
    {"qkv.weight", "self_attn.q_proj.weight", "attn_q.weight"},
    {"qkv.weight", "self_attn.k_proj.weight", "attn_k.weight"},
    {"qkv.weight", "self_attn.v_proj.weight", "attn_v.weight"},
    {"qkv.bias", "self_attn.q_proj.bias", "attn_q.bias"},
    {"qkv.bias", "self_attn.k_proj.bias", "attn_k.bias"},
    {"qkv.bias", "self_attn.v_proj.bias", "attn_v.bias"},
    {"projection.weight", "self_attn.o_proj.weight", "attn_output.weight"},
    {"norm2.weight", "post_attention_layernorm.weight", "ffn_norm.weight"},
    {"gate_up.weight", "mlp.gate_proj.weight", "ffn_gate.weight"},
    {"gate_up.weight", "mlp.up_proj.weight", "ffn_up.weight"},
    {"down.weight", "mlp.down_proj.weight", "ffn_down.weight"},
};
inline constexpr name_in_files gpt2_names[] = {
    {"embedding.table", "transformer.wte.weight", "token_embd.weight"},
    {"embedding.positions", "transformer.wpe.weight", "position_embd.weight"},
    {"norm.weight", "transformer.ln_f.weight", "output_norm.weight"},
    {"norm.bias", "transformer.ln_f.bias", "output_norm.bias"},
};
inline constexpr name_in_files gpt2_block_names[] = {
    {"norm1.weight", "ln_1.weight", "attn_norm.weight"},
    {"norm1.bias", "ln_1.bias", "attn_norm.bias"},
    {"qkv.weight", "attn.c_attn.weight", "attn_qkv.weight"},
    {"qkv.bias", "attn.c_attn.bias", "attn_qkv.bias"},
    {"projection.weight", "attn.c_proj.weight", "attn_output.weight"},
    {"projection.bias", "attn.c_proj.bias", "attn_output.bias"},
    {"norm2.weight", "ln_2.weight", "ffn_norm.weight"},
    {"norm2.bias", "ln_2.bias", "ffn_norm.bias"},
    {"up.weight", "mlp.c_fc.weight", "ffn_up.weight"},
    {"up.bias", "mlp.c_fc.bias", "ffn_up.bias"},
    {"down.weight", "mlp.c_proj.weight", "ffn_down.weight"},
    {"down.bias", "mlp.c_proj.bias", "ffn_down.bias"},
};

/// Rows of the parts that are fused here.
inline index_t rows_of_part(model_numbers const& n, std::string_view module, index_t rows) {
    if (module.starts_with("self_attn.q_proj")) return n.heads * n.head_width;
    if (module.starts_with("self_attn.k_proj") || module.starts_with("self_attn.v_proj"))
        return n.kv_heads * n.head_width;
    if (module.starts_with("mlp.gate_proj") || module.starts_with("mlp.up_proj")) return n.mlp;
    return rows;
}

}  // namespace detail

/// The pieces of a parameter: "embedding.table", or "qkv.weight" of block 3 (-1: of no block), `rows` rows in all. Empty for
/// a parameter that the family does not have. `pairs`: queries and keys are stored as rotary pairs.
inline std::vector<weight_piece> pieces_of(model_numbers const& model, naming by, std::string_view parameter,
                                           index_t block, index_t rows, bool pairs = false) {
    std::vector<weight_piece> pieces;
    bool const is_gpt2 = model.family == "gpt2";
    auto const visit = [&](auto const& names) {
        index_t first = 0;
        for (auto const& name : names) {
            if (name.parameter != parameter) continue;
            auto const count = detail::rows_of_part(model, name.hugging_face, rows);
            std::string prefix;
            if (block >= 0)
                prefix = (by == naming::gguf ? "blk."
                          : is_gpt2          ? "transformer.h."
                                             : "model.layers.") +
                         std::to_string(block) + ".";
            bool const is_conv1d = is_gpt2 && by == naming::hugging_face && block >= 0 &&
                                   name.hugging_face.find(".c_") != std::string_view::npos &&
                                   name.hugging_face.ends_with("weight");
            bool const turns =
                pairs && (name.gguf.starts_with("attn_q.") || name.gguf.starts_with("attn_k."));
            pieces.push_back({prefix + std::string(by == naming::gguf ? name.gguf : name.hugging_face), first,
                              count,
                              is_conv1d ? arrangement::transposed
                              : turns   ? arrangement::rotary_pairs
                                        : arrangement::rows});
            first += count;
        }
    };
    if (is_gpt2) block < 0 ? visit(detail::gpt2_names) : visit(detail::gpt2_block_names);
    else block < 0 ? visit(detail::llama_names) : visit(detail::llama_block_names);
    return pieces;
}

/// The tensor of GGUF that has a factor for each rotary frequency. `read_model_config` compares it.
inline constexpr std::string_view frequency_factors = "rope_freqs.weight";

/// A tensor that files hold beside the parameters and that a loader may pass over: buffers of the causal mask and of rotary
/// frequencies.
inline bool is_no_parameter(std::string_view tensor, naming by) {
    if (by == naming::gguf) return tensor == frequency_factors;
    return tensor.ends_with(".attn.bias") || tensor.ends_with(".attn.masked_bias") ||
           tensor.ends_with("rotary_emb.inv_freq");
}

/// The head, which a file of a tied model may hold once more, as a copy of the table.
inline bool is_head(std::string_view tensor) {
    return tensor == "lm_head.weight" || tensor == "output.weight";
}

}  // namespace snug::io
