// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <charconv>
#include <map>
#include <set>
#include <snug/engine/load.hpp>
#include <snug/engine/run.hpp>
#include <snug/io/json.hpp>
#include <snug/io/safetensors.hpp>
#include <string>
#include <vector>

/// Adapters in PEFT's format: a folder with `adapter_config.json` and `adapter_model.safetensors`.
namespace snug {

namespace refusal {

template <class Adapter>
struct this_trainer_has_no_adapter_that_files_can_hold {
    static_assert(
        requires {
            Adapter::rank;
            Adapter::has_magnitude;
        },
        "snug: adapters in files are those of LoRA and DoRA; this trainer has none (see Adapter)");
};

}  // namespace refusal

namespace detail {

/// A tensor of an adapter's file, and where it is here: `count` elements of a parameter from `first` on.
struct adapter_tensor {
    std::string name;
    std::vector<index_t> dimensions;
    int parameter;
    index_t first;
    index_t count;
};

/// What the files call the module of a weight: the tensor's name without ".weight".
inline std::string module_of(std::string const& tensor) {
    return tensor.substr(0, tensor.size() - std::string_view(".weight").size());
}

template <class C>
std::vector<io::weight_piece> pieces_in_hugging_face(parameter_entry const& entry, index_t copy) {
    if constexpr (requires { C::chosen::model::numbers; })
        return io::pieces_of(C::chosen::model::numbers, io::naming::hugging_face, name_in_block(entry),
                             entry.repeated_at < 0 ? -1 : copy, rows_of(entry));
    else return {{full_name(entry, copy), 0, rows_of(entry)}};
}

inline constexpr std::string_view peft_prefix = "base_model.model.";

/// Visits the adapted layers: f<Layer>(first parameter, block, names of the adapted modules).
template <class C, class F>
void for_each_adapted(std::byte* base, F const& f) {
    for_each_leaf<C>(base, [&]<class Node>(auto const&, index_t block) {
        using L = typename Node::type;
        if constexpr (requires { typename L::lora_a; }) {
            auto const& entry = C::parameter_table.entries[static_cast<std::size_t>(Node::first_parameter)];
            auto const pieces = pieces_in_hugging_face<C>(entry, block);
            std::vector<std::string> modules;
            for (std::size_t b = 0; b < L::columns::blocks; ++b)
                for (auto const& piece : pieces)
                    if (piece.first == L::columns::first[b]) modules.push_back(module_of(piece.tensor));
            f.template operator()<L>(Node::first_parameter, block, modules);
        }
    });
}

/// All tensors of the adapter's file: A, B and magnitude of every adapted module, and what trains besides.
template <class C>
std::vector<adapter_tensor> adapter_tensors(std::byte* base) {
    std::vector<adapter_tensor> result;
    for_each_adapted<C>(base, [&]<class L>(int first_parameter, index_t block, auto const& modules) {
        auto const add = [&]<class P>(P, std::string name, std::vector<index_t> dimensions, index_t first,
                                      index_t count) {
            auto const p = first_parameter + static_cast<int>(meta::find<layer::parameters<L>, P>);
            result.push_back({std::string(peft_prefix) + std::move(name), std::move(dimensions), p,
                              block * P::shape::count + first, count});
        };
        index_t stacked = 0;
        for (std::size_t b = 0; b < modules.size(); ++b) {
            auto const columns = L::columns::count[b];
            add(typename L::lora_a{}, modules[b] + ".lora_A.weight", {L::rank, L::input_width},
                static_cast<index_t>(b) * L::rank * L::input_width, L::rank * L::input_width);
            add(typename L::lora_b{}, modules[b] + ".lora_B.weight", {columns, L::rank}, stacked * L::rank,
                columns * L::rank);
            if constexpr (L::has_magnitude)
                add(typename L::magnitude{}, modules[b] + ".lora_magnitude_vector", {columns}, stacked,
                    columns);
            stacked += columns;
        }
    });
    for (int p = 0; p < C::parameters; ++p) {
        auto const& entry = C::parameter_table.entries[static_cast<std::size_t>(p)];
        if (!entry.is_trained() || !entry.is_of_base()) continue;
        for (index_t copy = 0; copy < entry.copies; ++copy)
            for (auto const& piece : pieces_in_hugging_face<C>(entry, copy)) {
                std::vector<index_t> dimensions{piece.count};
                if (entry.rank > 1) dimensions.push_back(width_of(entry));
                result.push_back({std::string(peft_prefix) + piece.tensor, dimensions, p,
                                  copy * entry.count + piece.first * width_of(entry),
                                  piece.count * width_of(entry)});
            }
    }
    return result;
}

/// The last part of a module's name, unless another module of the model ends the same and is not adapted.
inline std::set<std::string> target_modules(std::set<std::string> const& adapted,
                                            std::set<std::string> const& others) {
    auto const last = [](std::string const& name) { return name.substr(name.rfind('.') + 1); };
    std::set<std::string> result;
    for (auto const& module : adapted) {
        bool const is_clear = std::none_of(others.begin(), others.end(),
                                           [&](auto const& other) { return last(other) == last(module); });
        result.insert(is_clear ? last(module) : module);
    }
    return result;
}

/// "model.layers.3.self_attn.q_proj" without what numbers the block: "self_attn.q_proj".
inline std::string without_block(std::string const& module) {
    auto const digit = module.find_first_of("0123456789");
    auto const dot = digit == std::string::npos ? digit : module.find('.', digit);
    return dot == std::string::npos ? module : module.substr(dot + 1);
}

/// The shortest text that reads as the same number.
inline std::string shortest(double value) {
    char text[32];
    auto const end = std::to_chars(text, text + sizeof(text), value).ptr;
    return {text, end};
}

inline std::string json_list(std::set<std::string> const& words) {
    std::string text;
    for (auto const& word : words) text += (text.empty() ? "" : ", ") + io::json_quoted(word);
    return "[" + text + "]";
}

template <class T>
inline constexpr io::tensor_type type_in_files = std::is_same_v<T, double>  ? io::tensor_type::f64
                                                 : std::is_same_v<T, float> ? io::tensor_type::f32
                                                 : std::is_same_v<T, fp16>  ? io::tensor_type::f16
                                                                            : io::tensor_type::bf16;

/// The text of `adapter_config.json`, keys in order.
template <class C>
std::string adapter_config(std::byte* base, std::string const& base_model) {
    using adapter = typename C::adapters;
    std::set<std::string> adapted, others, also;
    for_each_adapted<C>(base, [&]<class L>(int, index_t, auto const& modules) {
        for (auto const& module : modules) adapted.insert(without_block(module));
    });
    for (int p = 0; p < C::parameters; ++p) {
        auto const& entry = C::parameter_table.entries[static_cast<std::size_t>(p)];
        if (!entry.is_of_base()) continue;
        for (auto const& piece : pieces_in_hugging_face<C>(entry, 0)) {
            if (!piece.tensor.ends_with(".weight")) continue;
            auto const module = without_block(module_of(piece.tensor));
            if (entry.is_trained()) also.insert(module.substr(module.rfind('.') + 1));
            else if (entry.is_matrix() && !adapted.contains(module)) others.insert(module);
        }
    }
    bool is_gpt2 = false;
    if constexpr (requires { C::chosen::model::numbers; })
        is_gpt2 = C::chosen::model::numbers.family == "gpt2";
    auto const word = [](bool flag) { return std::string(flag ? "true" : "false"); };
    std::vector<std::pair<std::string, std::string>> const members{
        {"alpha_pattern", "{}"},
        {"base_model_name_or_path", base_model.empty() ? "null" : io::json_quoted(base_model)},
        {"bias", "\"none\""},
        {"fan_in_fan_out", word(is_gpt2)},
        {"inference_mode", "true"},
        {"init_lora_weights", "true"},
        {"layers_pattern", "null"},
        {"layers_to_transform", "null"},
        {"lora_alpha", std::to_string(adapter::alpha)},
        {"lora_dropout", shortest(adapter::dropout)},
        {"modules_to_save", also.empty() ? "null" : json_list(also)},
        {"peft_type", "\"LORA\""},
        {"r", std::to_string(adapter::rank)},
        {"rank_pattern", "{}"},
        {"revision", "null"},
        {"target_modules", json_list(target_modules(adapted, others))},
        {"task_type", "\"CAUSAL_LM\""},
        {"use_dora", word(adapter::has_magnitude)},
        {"use_rslora", word(adapter::is_rank_stabilized)},
    };
    std::string text = "{\n";
    for (std::size_t i = 0; i < members.size(); ++i)
        text += "  " + io::json_quoted(members[i].first) + ": " + members[i].second +
                (i + 1 < members.size() ? ",\n" : "\n");
    return text + "}\n";
}

/// Throws unless the configuration is that of this trainer's adapter. Target modules are not asked: the tensors tell, and a
/// pattern in an untrusted file is not run.
template <class C>
void check_adapter_config(io::json const& config) {
    using adapter = typename C::adapters;
    auto const& kind = config.at("peft_type");
    if (kind.text() != "LORA") kind.refuse(kind.what(), "\"LORA\"");
    auto const number = [&](char const* key, double expected, double missing) {
        auto const* const value = config.has(key) ? config.find(key) : nullptr;
        if ((value ? value->real() : missing) != expected)
            throw error(
                value ? value->where() : config.where(),
                std::string(key) + " " + (value ? value->what() : "left out"),
                std::to_string(static_cast<index_t>(expected)) + ", which this trainer was compiled for");
    };
    number("r", static_cast<double>(adapter::rank), 8);
    number("lora_alpha", static_cast<double>(adapter::alpha), 8);
    auto const flag = [&](char const* key, bool expected) {
        if ((config.has(key) && config.at(key).flag()) != expected)
            throw error(config.where(), std::string(key) + (expected ? " false" : " true"),
                        expected ? "true, which this trainer was compiled for"
                                 : "false, which this trainer was compiled for");
    };
    flag("use_rslora", adapter::is_rank_stabilized);
    flag("use_dora", adapter::has_magnitude);
    if (config.has("bias") && config.at("bias").text() != "none")
        config.at("bias").refuse(config.at("bias").what(), "\"none\": biases are not adapted");
    for (auto const* const key : {"rank_pattern", "alpha_pattern"})
        if (config.has(key) && !config.at(key).members().empty())
            config.at(key).refuse("a pattern", "none: every module has the same rank and alpha");
    for (auto const* const key :
         {"layers_to_transform", "layer_replication", "trainable_token_indices", "target_parameters"})
        if (config.has(key) && !(config.at(key).is_array() && config.at(key).elements().empty()))
            config.at(key).refuse(config.at(key).what(), "null: every block is adapted alike");
}

}  // namespace detail

template <class C>
void run<C>::save_adapter(std::string const& folder, std::string const& base_model) const {
    static_assert(sizeof(refusal::this_trainer_has_no_adapter_that_files_can_hold<typename C::adapters>) > 0);
    using element = typename C::updated;
    io::make_folder(folder);
    std::map<std::string, detail::adapter_tensor> tensors;
    io::safetensors_writer file(io::in_folder(folder, "adapter_model.safetensors"));
    host_view const here(*this);
    for (auto& tensor : detail::adapter_tensors<C>(base_of_memory())) {
        file.declare(tensor.name, detail::type_in_files<element>, tensor.dimensions);
        auto const name = tensor.name;
        tensors.emplace(name, std::move(tensor));
    }
    for (auto const& [name, type, dimensions, size] : file.tensors()) {
        auto const& tensor = tensors.at(name);
        auto const* const values =
            at<element>(C::has_master ? C::master(tensor.parameter) : C::weight(tensor.parameter)) +
            tensor.first;
        file.write(name, std::as_bytes(std::span(values, static_cast<std::size_t>(tensor.count))));
    }
    io::output_file config(io::in_folder(folder, "adapter_config.json"));
    config.write(detail::adapter_config<C>(base_of_memory(), base_model));
    file.commit();
    config.commit();
}

template <class C>
void run<C>::load_adapter(std::string const& folder) {
    static_assert(sizeof(refusal::this_trainer_has_no_adapter_that_files_can_hold<typename C::adapters>) > 0);
    io::json_document const config(io::in_folder(folder, "adapter_config.json"), std::int64_t{1} << 24);
    detail::check_adapter_config<C>(config.root());
    io::safetensors const file(io::in_folder(folder, "adapter_model.safetensors"));
    auto const tensors = detail::adapter_tensors<C>(memory_.data());
    std::set<std::string_view> wanted;
    for (auto const& tensor : tensors) {
        auto const& found = file.tensor(tensor.name);
        if (found.dimensions != tensor.dimensions)
            throw error({found.file, found.offset, found.name}, io::shape_text(found.type, found.dimensions),
                        io::shape_text(found.type, tensor.dimensions) + ", as this trainer was compiled for");
        io::decode(found, 0, {});  // refuses a type without values
        wanted.insert(tensor.name);
    }
    for (auto const& found : file.tensors())
        if (!wanted.contains(found.name))
            throw error({found.file, found.offset, found.name}, "a tensor that this adapter has no place for",
                        "only the " + std::to_string(wanted.size()) + " tensors that it has");
    {
        host_view here(*this);
        // From here on nothing can fail.
        for (auto const& tensor : tensors) {
            auto const& found = file.tensor(tensor.name);
            float values[1024];
            for (index_t i = 0; i < tensor.count; i += 1024) {
                auto const count = std::min<index_t>(1024, tensor.count - i);
                io::decode(found, i, {values, static_cast<std::size_t>(count)});
                for (index_t k = 0; k < count; ++k) {
                    auto const to = tensor.first + i + k;
                    at<weight_type>(C::weight(tensor.parameter))[to] = static_cast<weight_type>(values[k]);
                    if constexpr (C::has_master)
                        at<typename C::updated>(C::master(tensor.parameter))[to] =
                            static_cast<typename C::updated>(values[k]);
                }
            }
        }
        here.write_back();
    }
    clear_states();
    steps_ = 0;
    loss_scale_ = {};
    refresh();
}

}  // namespace snug
