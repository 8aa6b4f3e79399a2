// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <concepts>
#include <span>
#include <string_view>

#include <snug/models/numbers.hpp>

/// What a family of models is called in the files of others, as plain data: each family's tables stand in its
/// file, and `hub/` walks them, to read and to write.
namespace snug::SNUG_TARGET::models {

/// How a weight lies in files.
enum class stored {
    plain,    ///< as here, [out, in]
    conv1d,   ///< [in, out] in Hugging Face's
    rotary,   ///< queries or keys: in rotary pairs in GGUF, where the type has them
    one_more  ///< each number plus 1 in GGUF
};

/// A parameter, or a part of one that is fused here: several parts follow each other.
struct parameter_in_files {
    std::string_view parameter;     ///< here: "qkv.weight"
    std::string_view hugging_face;  ///< without what names the block: "self_attn.q_proj.weight"
    std::string_view gguf;
    stored how = stored::plain;
    index_t (*rows)(model_numbers const&) = nullptr;  ///< of a part; null: it is the whole
};

/// A number of `config.json`, at least 1. Missing without a default, or null: `times` another number. (A
/// width of heads without a default is their share of the width.)
struct config_number {
    index_t model_numbers::*number;
    std::string_view key;
    index_t missing = 0;  ///< 0: no default
    index_t model_numbers::*of = nullptr;
    index_t times = 1;
    std::string_view other_key = {};  ///< a second name; where there are both they must say the same
};

/// A positive number of `config.json` and GGUF.
struct config_real {
    double model_numbers::*number;
    std::string_view key;
    double missing;
    std::string_view gguf;  ///< behind the architecture; must be there
};

/// A flag of `config.json`.
struct config_flag {
    bool model_numbers::*number;
    std::string_view key;
    bool missing;
};

/// What holds for every model of a type, and no key says.
struct config_trait {
    bool model_numbers::*number;
    bool value;
};

/// A member of `config.json` that is written and not read: where the default in transformers would not do.
struct config_constant {
    std::string_view key;
    std::string_view value;  ///< as JSON
};

/// Which layers have a sliding window. Each rule but the last also understands the keys of those before it.
enum class window_rule {
    unknown,           ///< no key of windows is understood
    none,              ///< no layer: `layer_types`
    every_layer,       ///< every layer, unless `sliding_window` is null: Mistral
    upper_layers,      ///< those from `max_window_layers` on, where `use_sliding_window` is true: Qwen2
    all_but_every_nth  ///< all but those that `layer_types` or `sliding_window_pattern` name: Gemma 3
};

/// A type of models in `config.json`, and in GGUF the architecture.
struct config_type {
    std::string_view model_type = {};    ///< "llama"
    std::string_view architecture = {};  ///< transformers' class: "LlamaForCausalLM"
    std::string_view gguf = {};  ///< `general.architecture`; empty: GGUF has these models as another type
    std::string_view activation_key = {};
    std::span<std::string_view const> activations = {};  ///< one by its names, the first is written; or none
    std::span<config_number const> numbers = {};         ///< in the order in which they are written
    std::span<config_real const> reals = {};
    std::span<config_flag const> flags = {};
    std::span<config_trait const> traits = {};
    window_rule window = window_rule::unknown;
    bool is_rotary = false;     ///< reads `rope_theta` and scalings of rotary frequencies
    double rope_theta = 10000;  ///< where `config.json` does not say it
    /// Every so many-th block does not rotate, where `config.json` does not say it, and in GGUF; 0: the type has no
    /// such blocks.
    index_t no_rope_interval = 0;
    /// Of layers with a window, where `config.json` does not say it; 0: they have no base of their own.
    double local_rope_theta = 0;
    /// Every so many-th block has no window, where `config.json` does not say it, and in GGUF.
    index_t full_attention_interval = 0;
    index_t (*query_scalar_in_gguf)(model_numbers const&) = nullptr;  ///< null: scores are divided as usual
    std::span<config_constant const> written = {};
    std::span<std::string_view const> ignored = {};  ///< keys of `config.json` that mean nothing in this type
    bool has_rotary_pairs = false;  ///< in GGUF the two elements that turn together are neighbours
    /// `model_type` of files that have this type inside, as `text_config`.
    std::string_view with_images = {};
};

/// A family in the files of others: the static member `family` of its models, beside their `numbers`.
struct model_family {
    std::string_view name;    ///< `model_numbers::family`
    std::string_view prefix;  ///< of Hugging Face's names, which some files leave out: "model."
    std::string_view blocks;  ///< Hugging Face's name of the list of blocks: "layers"
    std::span<parameter_in_files const> parameters;        ///< of no block
    std::span<parameter_in_files const> block_parameters;  ///< of each block
    std::span<config_type const> types;
    std::span<std::string_view const> other_prefixes = {};  ///< instead of the one above, in some files
    std::span<std::string_view const> other_modules = {};   ///< how tensors begin that a loader passes over
};

/// A model that others' files can hold.
template <class M>
concept of_a_family = requires {
    { M::numbers } -> std::convertible_to<model_numbers>;
    { M::family } -> std::convertible_to<model_family>;
};

/// The type as which a model is written: the first that has its traits and its window; -1: none has. By number:
/// to g++ 12 the address of a table is no constant where null pointers may be looked at.
constexpr int type_of(model_family const& family, model_numbers const& n) {
    for (std::size_t i = 0; i < family.types.size(); ++i) {
        auto const& type = family.types[i];
        bool is_like_it = n.sliding_window == 0 || type.window >= window_rule::every_layer;
        for (auto const& trait : type.traits) is_like_it = is_like_it && n.*trait.number == trait.value;
        if (is_like_it) return static_cast<int>(i);
    }
    return -1;
}

}  // namespace snug::SNUG_TARGET::models
