// SPDX-License-Identifier: Apache-2.0
#pragma once

/// \file
/// Where the parameters of a model are in weight files of others, by the tables of its family.

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <snug/models/family.hpp>
#include <snug/models/numbers.hpp>

namespace snug::SNUG_TARGET::io {

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
    one_more,  ///< as here, each number plus 1: norms of Gemma in GGUF
};

/// Rows [first, first + count) of a parameter of one block, or elements of a vector, and the tensor that holds them.
struct weight_piece {
    std::string tensor;
    index_t first = 0;
    index_t count = 0;
    arrangement how = arrangement::rows;
};

/// The pieces of a parameter: "embedding.table", or "qkv.weight" of block 3 (-1: of no block), `rows` rows in all. Empty for
/// a parameter that the family does not have. `pairs`: queries and keys are stored as rotary pairs.
inline std::vector<weight_piece> pieces_of(models::model_family const& family, model_numbers const& numbers,
                                           naming by, std::string_view parameter, index_t block, index_t rows,
                                           bool pairs = false) {
    bool const is_gguf = by == naming::gguf;
    std::string before;
    if (block >= 0)
        before = (is_gguf ? "blk" : std::string(family.prefix) + std::string(family.blocks)) + "." +
                 std::to_string(block) + ".";
    std::vector<weight_piece> pieces;
    index_t first = 0;
    for (auto const& part : block < 0 ? family.parameters : family.block_parameters) {
        if (part.parameter != parameter) continue;
        auto const count = part.rows == nullptr ? rows : part.rows(numbers);
        auto const how = !is_gguf && part.how == models::stored::conv1d    ? arrangement::transposed
                         : pairs && part.how == models::stored::rotary     ? arrangement::rotary_pairs
                         : is_gguf && part.how == models::stored::one_more ? arrangement::one_more
                                                                           : arrangement::rows;
        pieces.push_back({before + std::string(is_gguf ? part.gguf : part.hugging_face), first, count, how});
        first += count;
    }
    return pieces;
}

/// Hugging Face's files have weights as [in, out], so PEFT's have, too.
constexpr bool has_transposed_weights(models::model_family const& family) {
    for (auto const& part : family.block_parameters)
        if (part.how == models::stored::conv1d) return true;
    return false;
}

/// GGUF files of this architecture store queries and keys as rotary pairs.
inline bool has_rotary_pairs(models::model_family const& family, std::string_view architecture) {
    for (auto const& type : family.types)
        if (type.gguf == architecture) return type.has_rotary_pairs;
    return false;
}

/// The tensor of GGUF that has a factor for each rotary frequency. `read_model_config` compares it.
inline constexpr std::string_view frequency_factors = "rope_freqs.weight";

/// A tensor that files hold beside the parameters and that a loader may pass over: buffers of the causal mask and of rotary
/// frequencies, and what reads images.
inline bool is_no_parameter(std::string_view tensor, naming by,
                            std::span<std::string_view const> other_modules = {}) {
    if (by == naming::gguf) return tensor == frequency_factors;
    for (auto const module : other_modules)
        if (tensor.starts_with(module)) return true;
    return tensor.ends_with(".attn.bias") || tensor.ends_with(".attn.masked_bias") ||
           tensor.ends_with("rotary_emb.inv_freq");
}

/// The head, in files of every family.
inline constexpr std::string_view head_module_in_hugging_face = "lm_head";
inline constexpr std::string_view head_in_gguf = "output.weight";

/// The head, which a file of a tied model may hold once more, as a copy of the table.
inline bool is_head(std::string_view tensor) { return tensor == "lm_head.weight" || tensor == head_in_gguf; }

}  // namespace snug::SNUG_TARGET::io
