// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstring>
#include <map>
#include <optional>
#include <set>
#include <snug/adapters/blocks.hpp>
#include <snug/engine/collect.hpp>
#include <snug/engine/executor.hpp>
#include <snug/engine/finite.hpp>
#include <snug/engine/host_view.hpp>
#include <snug/engine/load.hpp>
#include <snug/engine/options.hpp>
#include <snug/engine/refresh.hpp>
#include <snug/engine/store.hpp>
#include <snug/hub/adapter_config.hpp>
#include <snug/io/json.hpp>
#include <snug/io/safetensors.hpp>
#include <snug/layers/hooks.hpp>
#include <string>
#include <vector>

/// Adapters in PEFT's format: a folder with `adapter_config.json` and `adapter_model.safetensors`.
namespace snug::SNUG_TARGET {

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

template <class Layer>
struct this_layer_of_an_adapter_has_no_place_in_files {
    static_assert(
        requires {
            typename Layer::lora_a;
            typename Layer::lora_b;
        },
        "snug: adapters in files are those of LoRA and DoRA; a layer of this adapter has other parameters "
        "(see Layer). They are in snapshots, and in a merged model");
};

}  // namespace refusal

namespace engine {

/// A tensor of an adapter's file, and where it is here: `count` elements of a parameter from `first` on, or
/// of its transpose.
struct adapter_tensor {
    std::string name;
    std::vector<index_t> dimensions;
    int parameter;
    index_t first;
    index_t count;
    bool is_transposed = false;

    /// Where element i of the file is in the parameter.
    index_t place_of(index_t i) const {
        return first + (is_transposed ? i % dimensions[1] * dimensions[0] + i / dimensions[1] : i);
    }
};

/// What the files call the module of a weight: the tensor's name without ".weight".
inline std::string module_of(std::string const& tensor) {
    return tensor.substr(0, tensor.size() - std::string_view(".weight").size());
}

template <class C>
std::vector<io::weight_piece> pieces_in_hugging_face(parameter_entry const& entry, index_t copy) {
    using model = typename C::chosen::model;
    if constexpr (models::of_a_family<model>)
        return io::pieces_of(model::family, model::numbers, io::naming::hugging_face, entry.name_in_block(),
                             entry.block(copy), entry.rows());
    else return {{entry.full_name(copy), 0, entry.rows()}};
}

inline constexpr std::string_view peft_prefix = "base_model.model.";

/// Visits the adapted layers: f<Layer>(first parameter, block, names of the adapted modules).
template <class C, class F>
void for_each_adapted(store<C> const& s, F const& f) {
    for_each_leaf(s.view(), s.on(), [&]<class Node>(auto const&, index_t block) {
        using L = typename Node::type;
        if constexpr (layer::has_adapter<L>) {
            static_assert(sizeof(refusal::this_layer_of_an_adapter_has_no_place_in_files<L>) > 0);
            auto const& entry = C::entry(Node::first_parameter);
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
std::vector<adapter_tensor> adapter_tensors(store<C> const& s) {
    std::vector<adapter_tensor> result;
    for_each_adapted(s, [&]<class L>(int first_parameter, index_t block, auto const& modules) {
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
        auto const& entry = C::entry(p);
        if (!entry.is_trained() || !entry.is_of_base()) continue;
        for (index_t copy = 0; copy < entry.copies; ++copy)
            for (auto const& piece : pieces_in_hugging_face<C>(entry, copy)) {
                std::vector<index_t> dimensions{piece.count};
                if (entry.rank > 1) dimensions.push_back(entry.width());
                bool const is_transposed = piece.how == io::arrangement::transposed;
                if (is_transposed) std::swap(dimensions[0], dimensions[1]);
                result.push_back({std::string(peft_prefix) + piece.tensor, dimensions, p,
                                  copy * entry.count + piece.first * entry.width(),
                                  piece.count * entry.width(), is_transposed});
            }
    }
    return result;
}

/// The embedding of a model of a family whose head shares its table, and trains: one parameter here, two
/// modules in PEFT.
template <class C>
constexpr bool trains_tied_head() {
    if constexpr (models::of_a_family<typename C::chosen::model>)
        return C::chosen::model::numbers.tied_head && C::entry(0).is_trained();
    else return false;
}
inline constexpr auto tied_head_module = io::head_module_in_hugging_face;

/// The module of the embedding.
template <class C>
std::string embedding_module() {
    return module_of(pieces_in_hugging_face<C>(C::entry(0), 0)[0].tensor);
}

/// The last part of each module's name, unless that would name one of the others too.
template <class Names>
std::set<std::string> short_names(std::set<std::string> const& modules, std::set<std::string> const& all,
                                  Names const& names) {
    std::set<std::string> result;
    for (auto const& module : modules) {
        auto const last = module.substr(module.rfind('.') + 1);
        bool const is_clear = std::ranges::none_of(
            all, [&](auto const& other) { return !modules.contains(other) && names(last, other); });
        result.insert(is_clear ? last : module);
    }
    return result;
}

/// "model.layers.3.self_attn.q_proj" without what numbers the block: "self_attn.q_proj".
inline std::string without_block(std::string const& module) {
    auto const digit = module.find_first_of("0123456789");
    auto const dot = digit == std::string::npos ? digit : module.find('.', digit);
    return dot == std::string::npos ? module : module.substr(dot + 1);
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

/// The numbers of the blocks that are adapted; none where the adapter is not in some blocks only.
template <class C>
std::set<index_t> blocks_of_adapter(store<C> const& s) {
    std::set<index_t> blocks;
    if constexpr (meta::size < typename C::adapters::blocks >> 0)
        for_each_adapted(s, [&]<class L>(int first_parameter, index_t copy, auto const&) {
            blocks.insert(C::entry(first_parameter).block(copy));
        });
    return blocks;
}

/// The text of `adapter_config.json`, keys in order.
template <class C>
std::string adapter_config(store<C> const& s, std::string const& base_model) {
    using adapter = typename C::adapters;
    std::set<std::string> all, adapted, also;
    for_each_adapted(s, [&]<class L>(int, index_t, auto const& modules) {
        for (auto const& module : modules) adapted.insert(without_block(module));
    });
    for (int p = 0; p < C::parameters; ++p) {
        auto const& entry = C::entry(p);
        if (!entry.is_of_base()) continue;
        for (auto const& piece : pieces_in_hugging_face<C>(entry, 0)) {
            if (!piece.tensor.ends_with(".weight")) continue;
            auto const module = without_block(module_of(piece.tensor));
            all.insert(module);
            if (entry.is_trained()) also.insert(module);
        }
    }
    // As a copy of its own, tied to that of the embedding.
    if (trains_tied_head<C>()) also.insert(std::string(tied_head_module));
    auto const targets = short_names(adapted, all, is_module);
    auto const saved = short_names(
        also, all, [](std::string_view name, std::string_view module) { return module.ends_with(name); });
    bool is_transposed = false;
    if constexpr (models::of_a_family<typename C::chosen::model>)
        is_transposed = io::has_transposed_weights(C::chosen::model::family);
    std::string blocks;
    for (auto const block : blocks_of_adapter(s))
        blocks += (blocks.empty() ? "" : ", ") + std::to_string(block);
    auto const word = [](bool flag) { return std::string(flag ? "true" : "false"); };
    std::vector<std::pair<std::string, std::string>> members{
        {"alpha_pattern", "{}"},
        {"base_model_name_or_path", base_model.empty() ? "null" : io::json_quoted(base_model)},
        {"bias", "\"none\""},
        {"ensure_weight_tying", "true"},
        {"fan_in_fan_out", word(is_transposed)},
        {"inference_mode", "true"},
        {"init_lora_weights", "true"},
        {"layers_pattern", "null"},
        {"layers_to_transform", blocks.empty() ? "null" : "[" + blocks + "]"},
        {"lora_alpha", std::to_string(adapter::alpha)},
        {"lora_dropout", io::json_number(adapter::dropout)},
        {"modules_to_save", saved.empty() ? "null" : json_list(saved)},
        {"peft_type", "\"LORA\""},
        {"r", std::to_string(adapter::rank)},
        {"rank_pattern", "{}"},
        {"revision", "null"},
        {"target_modules", json_list(targets)},
        {"task_type", "\"CAUSAL_LM\""},
        {"use_dora", word(adapter::has_magnitude)},
        {"use_rslora", word(adapter::is_rank_stabilized)},
    };
    // Older versions of PEFT do not know it.
    if (!trains_tied_head<C>())
        std::erase_if(members, [](auto const& member) { return member.first == "ensure_weight_tying"; });
    std::string text = "{\n";
    for (std::size_t i = 0; i < members.size(); ++i)
        text += "  " + io::json_quoted(members[i].first) + ": " + members[i].second +
                (i + 1 < members.size() ? ",\n" : "\n");
    return text + "}\n";
}

/// What a file of this trainer's adapter says.
template <class C>
adapter_numbers numbers_of_adapter(store<C> const& s) {
    using adapter = typename C::adapters;
    adapter_numbers numbers{adapter::rank, adapter::alpha, adapter::is_rank_stabilized,
                            adapter::has_magnitude};
    if constexpr (models::of_a_family<typename C::chosen::model>)
        numbers.blocks_name = C::chosen::model::family.blocks;
    numbers.adapted_blocks = blocks_of_adapter(s);
    for (int p = 0; p < C::parameters; ++p)
        numbers.blocks = std::max(numbers.blocks, C::entry(p).block(C::entry(p).copies - 1) + 1);
    for_each_adapted(s, [&]<class L>(int, index_t, auto const& modules) {
        numbers.modules.insert(numbers.modules.end(), modules.begin(), modules.end());
    });
    return numbers;
}

/// The tensors in a file, checked whole: each is there, with its shape and values, and there are no others.
/// Of a tied head's two names the file has one, or both with the same values.
template <class C>
std::vector<std::pair<adapter_tensor, io::file_tensor const*>> find_adapter(store<C> const& s,
                                                                            io::json const& config,
                                                                            io::safetensors const& file) {
    std::vector<std::pair<adapter_tensor, io::file_tensor const*>> result;
    std::set<std::string_view> wanted;
    auto tensors = adapter_tensors(s);
    auto const find = [&](adapter_tensor const& tensor) -> io::file_tensor const& {
        auto const& found = file.tensor(tensor.name);
        if (found.dimensions != tensor.dimensions)
            throw error(found.where(), io::shape_text(found.type, found.dimensions),
                        io::shape_text(found.type, tensor.dimensions) + ", as this trainer was compiled for");
        io::decode(found, 0, {});  // refuses a type without values
        wanted.insert(found.name);
        return found;
    };
    for (auto& tensor : tensors) {
        if constexpr (trains_tied_head<C>())
            if (tensor.parameter == 0) {
                auto head = tensor;
                head.name = std::string(peft_prefix) + std::string(tied_head_module) + ".weight";
                bool const has_embedding = holds(file, tensor.name);
                bool const has_head = holds(file, head.name);
                check_tied_head(config, embedding_module<C>(), tied_head_module, has_embedding, has_head);
                if (has_head) {
                    auto const& found = find(head);
                    if (has_embedding) require_same_values(find(tensor), found);
                    else tensor = head;
                }
            }
        auto const& found = find(tensor);
        result.emplace_back(std::move(tensor), &found);
    }
    for (auto const& found : file.tensors())
        if (!wanted.contains(found.name))
            throw error(found.where(), "a tensor that this adapter has no place for",
                        "only the " + std::to_string(wanted.size()) + " tensors that it has");
    return result;
}

template <class C>
void save_peft(store<C> const& s, std::string const& folder, std::string const& base_model) {
    static_assert(sizeof(refusal::this_trainer_has_no_adapter_that_files_can_hold<typename C::adapters>) > 0);
    using element = typename C::updated;
    constexpr index_t size = sizeof(element);
    host_view<C> const here(s);
    work_of_root<C> writing(s);
    std::optional<io::safetensors_writer> file;
    std::map<std::string, adapter_tensor> tensors;  // in the order of the file: all are of one type
    writing.part([&] {
        io::make_folder(folder);
        file.emplace(io::in_folder(folder, "adapter_model.safetensors"));
    });
    auto const add = [&](adapter_tensor tensor) {
        writing.part([&] { file->declare(tensor.name, type_in_files<element>, tensor.dimensions); });
        auto const name = tensor.name;
        tensors.emplace(name, std::move(tensor));
    };
    for (auto& tensor : adapter_tensors(s)) {
        if (trains_tied_head<C>() && tensor.parameter == 0) {
            auto head = tensor;
            head.name = std::string(peft_prefix) + std::string(tied_head_module) + ".weight";
            add(std::move(head));
        }
        add(std::move(tensor));
    }
    for (auto const& [name, tensor] : tensors) {
        auto const p = tensor.parameter;
        auto const& entry = C::entry(p);
        array_bytes const array{C::has_master ? C::master(p) : C::weight(p), entry.count * size,
                                entry.copies};
        auto const copy = tensor.first / entry.count, first = tensor.first % entry.count;
        std::vector<element> columns;  // of a transposed matrix, which is written when it is there
        auto const write = [&, &name = name, &tensor = tensor](std::span<std::byte const> bytes) {
            if (!tensor.is_transposed) return file->write(name, bytes);
            auto const before = columns.size();
            columns.resize(before + bytes.size() / sizeof(element));
            std::memcpy(columns.data() + before, bytes.data(), bytes.size());
        };
        collect(s, here.view(), array, copy, first * size, (first + tensor.count) * size, audience::root,
                [&](std::span<std::byte const> bytes) { writing.part([&] { write(bytes); }); });
        if (!tensor.is_transposed) continue;
        writing.part([&, &name = name, &tensor = tensor] {
            std::vector<element> in_order;
            for (index_t i = 0; i < tensor.count; ++i)
                in_order.push_back(columns[static_cast<std::size_t>(tensor.place_of(i) - tensor.first)]);
            file->write(name, std::as_bytes(std::span(in_order)));
        });
    }
    writing.part([&] {
        io::output_file config(io::in_folder(folder, "adapter_config.json"));
        config.write(adapter_config(s, base_model));
        file->commit();
        config.commit();
    });
    writing.finish("agreement on an adapter");
}

template <class C>
void load_peft(store<C>& s, std::string const& folder, load_options const& allowed) {
    static_assert(sizeof(refusal::this_trainer_has_no_adapter_that_files_can_hold<typename C::adapters>) > 0);
    std::optional<io::safetensors> file;
    std::vector<std::pair<adapter_tensor, io::file_tensor const*>> tensors;
    together(s, "agreement on an adapter's file", [&] {
        io::json_document const config(io::in_folder(folder, "adapter_config.json"), std::int64_t{1} << 24);
        check_adapter_config(config.root(), numbers_of_adapter(s));
        file.emplace(io::in_folder(folder, "adapter_model.safetensors"));
        tensors = find_adapter(s, config.root(), *file);
        if (!allowed.allow_not_finite)
            for (auto const& [tensor, found] : tensors)
                require_finite<typename C::precision::weight, typename C::updated>(s.on_host(), *found);
    });
    require_same(s, "another adapter", [&] { return fingerprint_of(*file); });
    {
        host_view<C> const here(s);
        // From here on nothing can fail.
        using weight = typename C::precision::weight;
        for (auto const& [tensor, found] : tensors) {
            float values[1024];
            for (index_t i = 0; i < tensor.count; i += 1024) {
                auto const count = std::min<index_t>(1024, tensor.count - i);
                io::decode(*found, i, {values, static_cast<std::size_t>(count)});
                for (index_t k = 0; k < count; ++k) {
                    auto const to = tensor.place_of(i + k);
                    auto const p = tensor.parameter;
                    auto const memory = here.view();
                    if (auto* const place = memory.template find<weight>(C::weight(p), p, to))
                        *place = static_cast<weight>(values[k]);
                    if constexpr (C::has_master)
                        if (auto* const place =
                                memory.template find<typename C::updated>(C::master(p), p, to))
                            *place = static_cast<typename C::updated>(values[k]);
                }
            }
        }
        here.write_back();
    }
    begin_anew(s);
    refresh_derived(s);
}

}  // namespace engine
}  // namespace snug::SNUG_TARGET
