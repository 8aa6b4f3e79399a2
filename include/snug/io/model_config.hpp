// SPDX-License-Identifier: Apache-2.0
#pragma once

/// \file
/// What a model's files say of the model: the `config.json` of Hugging Face and the metadata of GGUF, as the
/// numbers of a family. What would change the mathematics and is not implemented here is refused, not ignored.

#include <algorithm>
#include <initializer_list>
#include <sstream>
#include <string>
#include <string_view>
#include <utility>

#include <snug/error.hpp>
#include <snug/io/file.hpp>
#include <snug/io/gguf.hpp>
#include <snug/io/json.hpp>
#include <snug/io/size.hpp>
#include <snug/models/numbers.hpp>

namespace snug::io {

namespace detail {

/// Reads a Hugging Face configuration.
class config_reader {
  public:
    explicit config_reader(json const& config) : config_(config) {}

    model_numbers numbers() const {
        if (config_.has("quantization_config"))
            refuse("quantization_config", "the original weights: codes of another library can't be loaded");
        constexpr std::string_view families = "\"gpt2\", \"llama\", \"mistral\" or \"qwen2\"";
        auto const& type = config_.at("model_type").text();
        if (type == "gpt2") return gpt2();
        if (type == "llama" || type == "mistral" || type == "qwen2") return llama(type);
        refuse("model_type", std::string(families));
    }

  private:
    [[noreturn]] void refuse(std::string_view key, std::string expected) const {
        auto const& value = config_.at(key);
        value.refuse(value.what(), std::move(expected));
    }

    index_t positive(std::string_view key) const {
        auto const value = config_.at(key).integer();
        if (value < 1) refuse(key, "at least 1");
        return value;
    }
    /// Missing and null mean the same.
    index_t positive_or(std::string_view key, index_t missing) const {
        return config_.has(key) ? positive(key) : missing;
    }
    double real_or(std::string_view key, double missing) const {
        return config_.has(key) ? config_.at(key).real() : missing;
    }
    bool flag_or(std::string_view key, bool missing) const {
        return config_.has(key) ? config_.at(key).flag() : missing;
    }
    void require_flag(std::string_view key, bool expected) const {
        if (flag_or(key, expected) != expected) refuse(key, expected ? "true" : "false");
    }
    void require_activation(std::string_view key, std::initializer_list<std::string_view> names) const {
        auto const& name = config_.at(key).text();
        if (std::ranges::find(names, name) == names.end()) refuse(key, printable(*names.begin()));
    }
    index_t share_of_width(std::string_view width, std::string_view heads) const {
        if (positive(width) % positive(heads) != 0)
            refuse(width, "a multiple of the " + std::to_string(positive(heads)) + " heads");
        return positive(width) / positive(heads);
    }

    model_numbers gpt2() const {
        if (config_.has("activation_function"))
            require_activation("activation_function", {"gelu_new", "gelu_pytorch_tanh"});
        require_flag("scale_attn_weights", true);
        require_flag("scale_attn_by_inverse_layer_idx", false);
        require_flag("add_cross_attention", false);
        model_numbers found{.family = "gpt2", .qkv_bias = true};
        found.layers = positive("n_layer");
        found.heads = found.kv_heads = positive("n_head");
        found.width = positive("n_embd");
        found.head_width = share_of_width("n_embd", "n_head");
        found.mlp = positive_or("n_inner", (checked(4) * found.width).index());
        found.vocabulary = positive("vocab_size");
        found.context = positive("n_positions");
        found.norm_epsilon = real_or("layer_norm_epsilon", 1e-5);
        found.tied_head = flag_or("tie_word_embeddings", true);
        return found;
    }

    model_numbers llama(std::string_view type) const {
        require_activation("hidden_act", {"silu"});
        require_flag("attention_bias", false);
        require_flag("mlp_bias", false);
        model_numbers found{.family = "llama", .qkv_bias = type == "qwen2"};
        found.layers = positive("num_hidden_layers");
        found.heads = positive("num_attention_heads");
        // Only Llama's default is "as many as heads".
        if (type != "llama") (void)config_.at("num_key_value_heads");
        found.kv_heads = positive_or("num_key_value_heads", found.heads);
        found.width = positive("hidden_size");
        found.head_width = config_.has("head_dim") ? positive("head_dim")
                                                   : share_of_width("hidden_size", "num_attention_heads");
        found.mlp = positive("intermediate_size");
        found.vocabulary = positive("vocab_size");
        found.context = positive("max_position_embeddings");
        // Up to its length a window is full attention. Qwen2 has one only where it says so.
        if (config_.has("sliding_window") && flag_or("use_sliding_window", type == "mistral"))
            found.context = std::min(found.context, positive("sliding_window"));
        found.rope_theta = rope_theta();
        found.norm_epsilon = config_.at("rms_norm_eps").real();
        found.tied_head = flag_or("tie_word_embeddings", false);
        return found;
    }

    /// Newer files have `rope_parameters`, older ones `rope_theta` and, for other frequencies, `rope_scaling`.
    double rope_theta() const {
        require_plain_frequencies("rope_parameters");
        require_plain_frequencies("rope_scaling");
        if (config_.has("partial_rotary_factor") && config_.at("partial_rotary_factor").real() != 1)
            refuse("partial_rotary_factor", "1");
        constexpr double usual = 10000;
        auto const older = real_or("rope_theta", usual);
        if (!config_.has("rope_parameters") || !config_.at("rope_parameters").has("rope_theta")) return older;
        auto const& newer = config_.at("rope_parameters").at("rope_theta");
        if (config_.has("rope_theta") && older != newer.real())
            newer.refuse(newer.what(),
                         "the same number as for \"rope_theta\" outside of \"rope_parameters\"");
        return newer.real();
    }
    void require_plain_frequencies(std::string_view key) const {
        if (!config_.has(key)) return;
        for (auto const& [name, value] : config_.at(key).members()) {
            auto const is_plain =
                ((name == "rope_type" || name == "type") && value.is_text() && value.text() == "default") ||
                (name == "rope_theta" && value.is_number()) ||
                (name == "partial_rotary_factor" && value.is_number() && value.real() == 1);
            if (!is_plain)
                value.refuse(value.what(),
                             "plain rotary positions (of type \"default\") in " + printable(key));
        }
    }

    json const& config_;
};

/// Reads the metadata of a GGUF file.
class gguf_config_reader {
  public:
    explicit gguf_config_reader(gguf const& file) : file_(file), family_(file.text("general.architecture")) {}

    model_numbers numbers() const {
        if (family_ != "gpt2" && family_ != "llama" && family_ != "qwen2")
            refuse("the architecture " + printable(family_), "\"gpt2\", \"llama\" or \"qwen2\"");
        auto const is_gpt2 = family_ == "gpt2";
        model_numbers found{.family = is_gpt2 ? "gpt2" : "llama"};
        found.layers = positive("block_count");
        found.heads = positive("attention.head_count");
        found.kv_heads = positive_or("attention.head_count_kv", found.heads);
        found.width = positive("embedding_length");
        found.head_width = head_width(found);
        found.mlp = positive("feed_forward_length");
        found.context = positive("context_length");
        found.context = std::min(found.context, positive_or("attention.sliding_window", found.context));
        found.norm_epsilon =
            file_.real(key(is_gpt2 ? "attention.layer_norm_epsilon" : "attention.layer_norm_rms_epsilon"));
        // The number of tokens is not in every file, and an embedding may have rows that no token uses.
        auto const& embedding = file_.tensor("token_embd.weight");
        if (embedding.dimensions.size() != 2)
            throw error(embedding.where(), shape_text(embedding), "a matrix");
        found.vocabulary = embedding.dimensions.front();
        found.tied_head = !file_.has_tensor("output.weight");
        found.qkv_bias = is_gpt2 || file_.has_tensor("blk.0.attn_q.bias");
        if (!is_gpt2) found.rope_theta = rope_theta(found.head_width);
        if (auto const experts = key("expert_count"); file_.has(experts) && file_.number(experts) != 0)
            refuse(std::to_string(file_.number(experts)) + " experts", "a dense model");
        return found;
    }

  private:
    std::string key(std::string_view name) const { return std::string(family_) + "." + std::string(name); }

    [[noreturn]] void refuse(std::string found, std::string expected) const {
        throw error({file_.path()}, std::move(found), std::move(expected));
    }
    index_t positive(std::string_view name) const {
        auto const value = file_.number(key(name));
        if (value < 1) refuse(key(name) + " = " + std::to_string(value), "at least 1");
        return value;
    }
    index_t positive_or(std::string_view name, index_t missing) const {
        return file_.has(key(name)) ? positive(name) : missing;
    }

    index_t head_width(model_numbers const& found) const {
        auto const given = file_.has(key("attention.key_length"));
        if (!given && found.width % found.heads != 0)
            refuse("a width of " + std::to_string(found.width),
                   "a multiple of the " + std::to_string(found.heads) + " heads");
        auto const result = given ? positive("attention.key_length") : found.width / found.heads;
        if (auto const values = positive_or("attention.value_length", result); values != result)
            refuse("values of width " + std::to_string(values),
                   "the width of keys, " + std::to_string(result));
        return result;
    }

    double rope_theta(index_t head_width) const {
        if (auto const turned = positive_or("rope.dimension_count", head_width); turned != head_width)
            refuse("rotary positions in " + std::to_string(turned) + " of a head's elements",
                   "in all " + std::to_string(head_width));
        auto const scaling = key("rope.scaling.type");
        if (file_.has(scaling) && file_.text(scaling) != "none")
            refuse("rotary positions scaled by " + printable(file_.text(scaling)), "plain ones");
        for (auto const* name : {"rope.scaling.factor", "rope.scale_linear"})
            if (file_.has(key(name)) && file_.real(key(name)) != 1)
                refuse("rotary positions with " + key(name), "plain ones");
        if (file_.has_tensor("rope_freqs.weight"))
            throw error(file_.tensor("rope_freqs.weight").where(), "factors of rotary frequencies",
                        "plain ones");
        auto const base = key("rope.freq_base");
        return file_.has(base) ? file_.real(base) : 10000;
    }

    gguf const& file_;
    std::string_view family_;
};

/// Two lists, of what differs only.
struct differences {
    std::string found;
    std::string expected;

    void add(std::string const& in_file, std::string const& wanted) {
        auto const* const comma = found.empty() ? "" : ", ";
        found += comma + in_file;
        expected += comma + wanted;
    }
    void compare(index_t in_file, index_t wanted, std::string const& before, std::string const& after = {}) {
        if (in_file != wanted)
            add(before + std::to_string(in_file) + after, before + std::to_string(wanted) + after);
    }
    /// GGUF has real numbers in fp32.
    void compare(double in_file, double wanted, std::string const& before) {
        if (static_cast<float>(in_file) == static_cast<float>(wanted)) return;
        std::ostringstream a;
        std::ostringstream b;
        a << before << in_file;
        b << before << wanted;
        add(a.str(), b.str());
    }
    void compare(bool in_file, bool wanted, std::string const& yes, std::string const& no) {
        if (in_file != wanted) add(in_file ? yes : no, wanted ? yes : no);
    }
};

}  // namespace detail

/// The numbers of the model that a `config.json` of Hugging Face describes: `path`, or that file in the folder
/// `path`. Families: gpt2, llama, mistral, qwen2. Throws for another family, and for options that the family
/// has there and not here.
inline model_numbers read_model_config(std::string path) {
    if (is_folder(path)) path = in_folder(path, "config.json");
    constexpr std::int64_t most = 1 << 24;
    json_document const config(std::move(path), most);
    return detail::config_reader(config.root()).numbers();
}

/// The numbers of the model in a GGUF file of the architecture gpt2, llama or qwen2.
inline model_numbers read_model_config(gguf const& file) {
    return detail::gguf_config_reader(file).numbers();
}

/// Throws, with all that differs, unless a trainer compiled for `compiled` can run the model `found` in the file at
/// `where`. A context longer than the trainer's is no difference.
inline void require(model_numbers const& compiled, model_numbers const& found, place const& where) {
    detail::differences all;
    if (found.family != compiled.family)
        all.add("a model of the family " + std::string(found.family),
                "the family " + std::string(compiled.family));
    all.compare(found.layers, compiled.layers, "", " layers");
    all.compare(found.heads, compiled.heads, "", " heads");
    all.compare(found.kv_heads, compiled.kv_heads, "", " key-value heads");
    all.compare(found.head_width, compiled.head_width, "heads of width ");
    all.compare(found.width, compiled.width, "a width of ");
    all.compare(found.mlp, compiled.mlp, "an inner width of ");
    all.compare(found.vocabulary, compiled.vocabulary, "a vocabulary of ");
    if (found.context < compiled.context) all.compare(found.context, compiled.context, "a context of ");
    all.compare(found.rope_theta, compiled.rope_theta, "a rotary base of ");
    all.compare(found.norm_epsilon, compiled.norm_epsilon, "a norm epsilon of ");
    all.compare(found.tied_head, compiled.tied_head, "a head tied to the embedding", "a head of its own");
    all.compare(found.qkv_bias, compiled.qkv_bias, "biases of queries, keys and values",
                "no biases of queries, keys and values");
    if (!all.found.empty())
        throw error(where, all.found + " in the file",
                    all.expected + ", which this trainer was compiled for");
}

}  // namespace snug::io
