// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <snug/engine/adapter_files.hpp>

/// The whole model again: base weights, decoded where they are quantized, with the adapter in them or without.
namespace snug {

namespace refusal {

template <class From, class Into>
struct weights_merge_into_the_plain_model {
    static_assert(
        std::is_same_v<typename Into::composition::chosen::model, From> &&
            std::is_same_v<typename Into::composition::adapters, adapters::none> &&
            std::is_same_v<typename Into::composition::quantization, quantization::none>,
        "snug: a model is merged into a trainer of the same model without adapter and quantization (see From "
        "and Into). To store the result in a quantization scheme again, save_model() it and load() it "
        "there: that rounds once more");
};

}  // namespace refusal

/// f(row, values) for rows [first, first + count) of a parameter of the base: of a vector, elements of one value.
template <class C>
template <bool Merged, class F>
void run<C>::for_each_base_row(int p, index_t copy, index_t first, index_t count, F const& f) const {
    auto const& entry = C::parameter_table.entries[static_cast<std::size_t>(p)];
    auto const width = detail::width_of(entry);
    std::vector<float> values(static_cast<std::size_t>(width));
    bool is_adapted = false;
    for_each_leaf<C>(base_of_memory(), [&]<class Node>(auto const& call, index_t block) {
        using L = typename Node::type;
        if constexpr (requires { typename L::lora_a; }) {
            // The weight is the first parameter of such a layer.
            if (p != Node::first_parameter || block != copy) return;
            is_adapted = true;
            for (index_t row = first; row < first + count; ++row) {
                if constexpr (Merged) L::merged_row(call, row, values);
                else L::base_row(call, row, values);
                f(row, std::span<float const>(values));
            }
        }
    });
    if (is_adapted) return;
    auto const visit = [&]<class Read>(Read const& read) {
        for (index_t row = first; row < first + count; ++row) {
            read(row, values.data());
            f(row, std::span<float const>(values));
        }
    };
    if (entry.is_quantized()) {
        if constexpr (!std::is_same_v<typename C::quantization, quantization::none>) {
            using scheme = typename C::quantization;
            auto const stored = scheme::view_of(at<std::byte>(C::weight(p)) + copy * entry.stored_bytes,
                                                {entry.dimensions[0], entry.dimensions[1]});
            visit([&](index_t row, float* to) { scheme::decode(stored, row * width, width, to); });
        }
    } else {
        auto const* const stored = at<weight_type>(C::weight(p)) + copy * entry.count;
        visit([&](index_t row, float* to) {
            for (index_t i = 0; i < width; ++i) to[i] = static_cast<float>(stored[row * width + i]);
        });
    }
}

/// The rows of every parameter of the base that `is_wanted(entry)`, into a trainer of the plain model.
template <class C>
template <bool Merged, class Plain, class Wanted>
void run<C>::write_base(Plain& plain, Wanted const& is_wanted) const {
    static_assert(sizeof(refusal::weights_merge_into_the_plain_model<typename C::chosen::model, Plain>) > 0);
    host_view const here(*this);
    for (int p = 0; p < C::parameters; ++p) {
        auto const& entry = C::parameter_table.entries[static_cast<std::size_t>(p)];
        if (!entry.is_of_base() || !is_wanted(entry)) continue;
        auto to = plain.copy_of_weights(entry.name.view());
        auto const width = detail::width_of(entry);
        for (index_t copy = 0; copy < entry.copies; ++copy)
            for_each_base_row<Merged>(p, copy, 0, detail::rows_of(entry), [&](index_t row, auto values) {
                for (index_t i = 0; i < width; ++i)
                    to[static_cast<std::size_t>(copy * entry.count + row * width + i)] =
                        static_cast<typename Plain::weight_type>(values[static_cast<std::size_t>(i)]);
            });
        plain.set_weights(entry.name.view(), to);
    }
}

template <class C>
template <class Plain>
void run<C>::merge_into(Plain& plain) const {
    write_base<true>(plain, [](parameter_entry const&) { return true; });
}

/// What trains beside the adapter is no longer what it was: it stays.
template <class C>
template <class Plain>
void run<C>::unmerge_from(Plain& plain) const {
    write_base<false>(plain, [](parameter_entry const& entry) { return !entry.is_trained(); });
}

namespace detail {

/// The text of a Hugging Face `config.json` for a model of a family.
inline std::string model_config(model_numbers const& n, std::string_view dtype) {
    std::string text = "{\n";
    auto const member = [&](std::string_view key, std::string const& value) {
        text += (text.size() > 2 ? ",\n  \"" : "  \"") + std::string(key) + "\": " + value;
    };
    auto const number = [&](std::string_view key, index_t value) { member(key, std::to_string(value)); };
    if (n.family == "gpt2") {
        member("architectures", "[\"GPT2LMHeadModel\"]");
        member("model_type", "\"gpt2\"");
        member("activation_function", "\"gelu_new\"");
        number("vocab_size", n.vocabulary);
        number("n_positions", n.context);
        number("n_embd", n.width);
        number("n_layer", n.layers);
        number("n_head", n.heads);
        number("n_inner", n.mlp);
        member("layer_norm_epsilon", shortest(n.norm_epsilon));
    } else {
        // Biases of queries, keys and values alone are what sets Qwen2 apart, a window Mistral.
        auto const is_mistral = !n.qkv_bias && n.sliding_window != 0;
        member("architectures", n.qkv_bias   ? "[\"Qwen2ForCausalLM\"]"
                                : is_mistral ? "[\"MistralForCausalLM\"]"
                                             : "[\"LlamaForCausalLM\"]");
        member("model_type", n.qkv_bias ? "\"qwen2\"" : is_mistral ? "\"mistral\"" : "\"llama\"");
        member("hidden_act", "\"silu\"");
        number("vocab_size", n.vocabulary);
        number("max_position_embeddings", n.context);
        number("hidden_size", n.width);
        number("intermediate_size", n.mlp);
        number("num_hidden_layers", n.layers);
        number("num_attention_heads", n.heads);
        number("num_key_value_heads", n.kv_heads);
        number("head_dim", n.head_width);
        member("rms_norm_eps", shortest(n.norm_epsilon));
        member("rope_theta", shortest(n.rope_theta));
        // Older versions of transformers read rope_scaling, newer ones rope_parameters.
        auto const& scaling = n.rope_scaling;
        auto const is_llama3 = scaling.original_context != 0;
        std::string parameters = std::string("{\"rope_type\": \"") +
                                 (is_llama3             ? "llama3"
                                  : scaling.factor != 1 ? "linear"
                                                        : "default") +
                                 '"';
        if (is_llama3 || scaling.factor != 1) parameters += ", \"factor\": " + shortest(scaling.factor);
        if (is_llama3)
            parameters += ", \"low_freq_factor\": " + shortest(scaling.low_frequency_factor) +
                          ", \"high_freq_factor\": " + shortest(scaling.high_frequency_factor) +
                          ", \"original_max_position_embeddings\": " +
                          std::to_string(static_cast<index_t>(scaling.original_context));
        if (scaling != rope::scaling{}) member("rope_scaling", parameters + "}");
        member("rope_parameters", parameters + ", \"rope_theta\": " + shortest(n.rope_theta) + "}");
        if (n.sliding_window != 0) {
            number("sliding_window", n.sliding_window);
            if (n.qkv_bias) member("use_sliding_window", "true"), number("max_window_layers", 0);
        }
    }
    member("tie_word_embeddings", n.tied_head ? "true" : "false");
    member("torch_dtype", "\"" + std::string(dtype) + "\"");
    return text + "\n}\n";
}

}  // namespace detail

template <class C>
void run<C>::save_model(std::string const& folder) const {
    struct place_here {
        int parameter;
        index_t copy;
        io::weight_piece piece;
    };
    constexpr auto type = detail::type_in_files<weight_type>;
    host_view const here(*this);
    io::make_folder(folder);
    io::safetensors_writer file(io::in_folder(folder, "model.safetensors"));
    std::map<std::string, place_here> places;
    for (int p = 0; p < C::parameters; ++p) {
        auto const& entry = C::parameter_table.entries[static_cast<std::size_t>(p)];
        if (!entry.is_of_base()) continue;
        for (index_t copy = 0; copy < entry.copies; ++copy)
            for (auto& piece : detail::pieces_in_hugging_face<C>(entry, copy)) {
                std::vector<index_t> dimensions{piece.count};
                if (entry.rank > 1) dimensions.push_back(detail::width_of(entry));
                if (piece.how == io::arrangement::transposed) std::swap(dimensions[0], dimensions[1]);
                file.declare(piece.tensor, type, dimensions);
                auto const name = piece.tensor;
                places.emplace(name, place_here{p, copy, std::move(piece)});
            }
    }
    for (auto const& tensor : file.tensors()) {
        auto const& name = tensor.name;
        auto const& [p, copy, piece] = places.at(name);
        auto const width = detail::width_of(C::parameter_table.entries[static_cast<std::size_t>(p)]);
        // Row by row; a transposed matrix as a whole.
        bool const is_transposed = piece.how == io::arrangement::transposed;
        std::vector<weight_type> values(
            static_cast<std::size_t>(is_transposed ? piece.count * width : width));
        for_each_base_row<true>(
            p, copy, piece.first, piece.count,
            [&, first = piece.first, count = piece.count](index_t row, auto from) {
                for (index_t i = 0; i < width; ++i)
                    values[static_cast<std::size_t>(is_transposed ? i * count + row - first : i)] =
                        static_cast<weight_type>(from[static_cast<std::size_t>(i)]);
                if (!is_transposed) file.write(name, std::as_bytes(std::span(values)));
            });
        if (is_transposed) file.write(name, std::as_bytes(std::span(values)));
    }
    if constexpr (requires { C::chosen::model::numbers; }) {
        constexpr std::string_view dtype = type == io::tensor_type::f64   ? "float64"
                                           : type == io::tensor_type::f32 ? "float32"
                                           : type == io::tensor_type::f16 ? "float16"
                                                                          : "bfloat16";
        io::output_file config(io::in_folder(folder, "config.json"));
        config.write(detail::model_config(C::chosen::model::numbers, dtype));
        file.commit();
        config.commit();
    } else {
        file.commit();
    }
}

}  // namespace snug
