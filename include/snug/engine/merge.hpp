// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <map>
#include <snug/engine/adapter_files.hpp>
#include <snug/layers/hooks.hpp>

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

template <class Model, bool IsOfAFamily>
struct transformers_does_not_know_this_model {
    static_assert(
        IsOfAFamily,
        "snug: save_model() writes what transformers reads, and there is no config.json for a model of "
        "your own (see Model). save_weights(\"file.safetensors\") writes its weights with this library's "
        "names, and load() reads them");
};

}  // namespace refusal

namespace detail {

/// A table of parameters has this one.
template <class Table>
constexpr bool has_parameter(Table const& table, parameter_entry const& wanted) {
    for (auto const& entry : table.entries)
        if (entry.name.view() == wanted.name.view() && entry.count == wanted.count &&
            entry.dimensions == wanted.dimensions && entry.copies == wanted.copies)
            return true;
    return false;
}

/// The parameter of a composition is one of the model as it is without an adapter.
template <class C>
constexpr bool is_parameter_of_model(int p) {
    return has_parameter(C::chosen::model::declare_parameters(),
                         C::parameter_table.entries[static_cast<std::size_t>(p)]);
}

/// And the other way round.
template <class C>
constexpr bool has_all_parameters_of_model() {
    constexpr auto model = C::chosen::model::declare_parameters();
    for (auto const& entry : model.entries)
        if (!has_parameter(C::parameter_table, entry)) return false;
    return true;
}

/// Refuses, as the program is compiled, to write the weights of an adapter that does not say how they are merged.
template <class C, class Node, class Call>
constexpr void require_merge() {
    using L = typename Node::type;
    meta::for_each<layer::parameters<L>>([]<class P>(P) {
        if constexpr (!is_derived<P> && !layer::is_of_adapter<L, P>) {
            constexpr auto p = Node::first_parameter + static_cast<int>(meta::find<layer::parameters<L>, P>);
            static_assert(
                sizeof(refusal::a_parameter_of_an_adapted_layer_is_neither_the_models_nor_the_adapters<
                       L, P, is_parameter_of_model<C>(p)>) > 0);
            if constexpr (layer::has_adapter<L> || layer::names_merged_row<L>)
                static_assert(sizeof(refusal::an_adapter_does_not_say_how_it_is_merged<
                                     L, P, layer::can_merge<L, Call, P>>) > 0);
        }
    });
}

}  // namespace detail

/// f(row, values) for rows [first, first + count) of a parameter of the base: of a vector, elements of one value.
template <class C>
template <bool Merged, class F>
void run<C>::for_each_base_row(int p, index_t copy, index_t first, index_t count, F const& f) const {
    static_assert(
        sizeof(refusal::a_parameter_of_the_model_is_missing_under_its_adapter<
               typename C::adapters, typename C::chosen::model, detail::has_all_parameters_of_model<C>()>) >
        0);
    auto const& entry = C::parameter_table.entries[static_cast<std::size_t>(p)];
    auto const width = detail::width_of(entry);
    std::vector<float> values(static_cast<std::size_t>(width));
    auto const read = [&](index_t row) {
        if constexpr (!std::is_same_v<typename C::quantization, quantization::none>)
            if (entry.is_quantized()) {
                using scheme = typename C::quantization;
                auto const stored = scheme::view_of(at<std::byte>(C::weight(p)) + copy * entry.stored_bytes,
                                                    {entry.dimensions[0], entry.dimensions[1]});
                scheme::decode(stored, row * width, width, values.data());
                return;
            }
        auto const* const stored = at<weight_type>(C::weight(p)) + copy * entry.count + row * width;
        for (index_t i = 0; i < width; ++i)
            values[static_cast<std::size_t>(i)] = static_cast<float>(stored[i]);
    };
    auto const for_each_row = [&](auto const& merge) {
        for (index_t row = first; row < first + count; ++row) {
            read(row);
            merge(row);
            f(row, std::span<float const>(values));
        }
    };
    bool is_adapted = false;
    if constexpr (Merged)
        for_each_leaf<C>(base_of_memory(), [&]<class Node, class Call>(Call const& call, index_t block) {
            using L = typename Node::type;
            detail::require_merge<C, Node, Call>();
            if constexpr (layer::has_adapter<L>) {
                int here = Node::first_parameter;
                meta::for_each<layer::parameters<L>>([&]<class P>(P parameter) {
                    if constexpr (!is_derived<P> && !layer::is_of_adapter<L, P> &&
                                  layer::can_merge<L, Call, P>)
                        if (p == here && block == copy) {
                            is_adapted = true;
                            for_each_row([&](index_t row) { L::merged_row(call, parameter, row, values); });
                        }
                    ++here;
                });
            }
        });
    if (!is_adapted) for_each_row([](index_t) {});
}

/// The rows of every parameter of the base that `is_wanted(entry)`, into a trainer of the plain model: looked at first, then written.
template <class C>
template <bool Merged, class Plain, class Wanted>
void run<C>::write_base(Plain& plain, load_options const& allowed, Wanted const& is_wanted) const {
    static_assert(sizeof(refusal::weights_merge_into_the_plain_model<typename C::chosen::model, Plain>) > 0);
    using element = typename Plain::weight_type;
    host_view const here(*this);
    auto const for_each_row_of = [&](int p, auto const& f) {
        auto const& entry = C::parameter_table.entries[static_cast<std::size_t>(p)];
        for (index_t copy = 0; copy < entry.copies; ++copy)
            for_each_base_row<Merged>(p, copy, 0, detail::rows_of(entry),
                                      [&](index_t row, auto values) { f(copy, row, values); });
    };
    auto const for_each_wanted = [&](auto const& f) {
        for (int p = 0; p < C::parameters; ++p) {
            auto const& entry = C::parameter_table.entries[static_cast<std::size_t>(p)];
            if (entry.is_of_base() && is_wanted(entry)) f(p, entry, detail::width_of(entry));
        }
    };
    if (!allowed.allow_not_finite)
        for_each_wanted([&](int p, auto const& entry, index_t width) {
            for_each_row_of(p, [&](index_t copy, index_t row, auto values) {
                for (index_t i = 0; i < width; ++i)
                    if (auto const value = values[static_cast<std::size_t>(i)];
                        !detail::is_finite_in<element>(value))
                        detail::refuse_number({{}, -1, detail::full_name(entry, copy)}, value,
                                              row * width + i, true);
            });
        });
    for_each_wanted([&](int p, auto const& entry, index_t width) {
        auto to = plain.copy_of_weights(entry.name.view());
        for_each_row_of(p, [&](index_t copy, index_t row, auto values) {
            for (index_t i = 0; i < width; ++i)
                to[static_cast<std::size_t>(copy * entry.count + row * width + i)] =
                    static_cast<element>(values[static_cast<std::size_t>(i)]);
        });
        plain.set_weights(entry.name.view(), to, allowed);
    });
}

template <class C>
template <class Plain>
void run<C>::merge_into(Plain& plain, load_options const& allowed) const {
    write_base<true>(plain, allowed, [](parameter_entry const&) { return true; });
}

/// What trains beside the adapter is no longer what it was: it stays.
template <class C>
template <class Plain>
void run<C>::unmerge_from(Plain& plain, load_options const& allowed) const {
    write_base<false>(plain, allowed, [](parameter_entry const& entry) { return !entry.is_trained(); });
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

/// The base with the adapter in it, by the names that `pieces_of(entry, copy)` gives; what is written beside appears after it.
template <class C>
template <class Pieces, class Beside>
void run<C>::write_weights(std::string const& path, Pieces const& pieces_of,
                           Beside const& commit_beside) const {
    struct place_here {
        int parameter;
        index_t copy;
        io::weight_piece piece;
    };
    host_view const here(*this);
    io::safetensors_writer file(path);
    std::map<std::string, place_here> places;
    for (int p = 0; p < C::parameters; ++p) {
        auto const& entry = C::parameter_table.entries[static_cast<std::size_t>(p)];
        if (!entry.is_of_base()) continue;
        for (index_t copy = 0; copy < entry.copies; ++copy)
            for (auto& piece : pieces_of(entry, copy)) {
                std::vector<index_t> dimensions{piece.count};
                if (entry.rank > 1) dimensions.push_back(detail::width_of(entry));
                if (piece.how == io::arrangement::transposed) std::swap(dimensions[0], dimensions[1]);
                file.declare(piece.tensor, detail::type_in_files<weight_type>, dimensions);
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
                for (index_t i = 0; i < width; ++i) {
                    auto const value = from[static_cast<std::size_t>(i)];
                    // What the trainer holds is written as it is; what merging has made must be a number.
                    if (std::isfinite(value) && !detail::is_finite_in<weight_type>(value))
                        detail::refuse_number({path, -1, name}, value, (row - first) * width + i, false);
                    values[static_cast<std::size_t>(is_transposed ? i * count + row - first : i)] =
                        static_cast<weight_type>(value);
                }
                if (!is_transposed) file.write(name, std::as_bytes(std::span(values)));
            });
        if (is_transposed) file.write(name, std::as_bytes(std::span(values)));
    }
    file.commit();
    commit_beside();
}

template <class C>
void run<C>::save_weights(std::string const& path) const {
    write_weights(
        path,
        [](parameter_entry const& entry, index_t copy) {
            return std::vector<io::weight_piece>{{detail::full_name(entry, copy), 0, detail::rows_of(entry)}};
        },
        [] {});
}

template <class C>
void run<C>::save_model(std::string const& folder) const {
    constexpr bool is_of_family = requires { C::chosen::model::numbers; };
    static_assert(
        sizeof(refusal::transformers_does_not_know_this_model<typename C::chosen::model, is_of_family>) > 0);
    if constexpr (is_of_family) {
        constexpr auto type = detail::type_in_files<weight_type>;
        constexpr std::string_view dtype = type == io::tensor_type::f64   ? "float64"
                                           : type == io::tensor_type::f32 ? "float32"
                                           : type == io::tensor_type::f16 ? "float16"
                                                                          : "bfloat16";
        io::make_folder(folder);
        io::output_file config(io::in_folder(folder, "config.json"));
        config.write(detail::model_config(C::chosen::model::numbers, dtype));
        write_weights(
            io::in_folder(folder, "model.safetensors"),
            [](parameter_entry const& entry, index_t copy) {
                return detail::pieces_in_hugging_face<C>(entry, copy);
            },
            [&] { config.commit(); });
    }
}

}  // namespace snug
