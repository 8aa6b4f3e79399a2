// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cmath>
#include <cstring>
#include <map>
#include <optional>
#include <snug/engine/access.hpp>
#include <snug/engine/adapter_files.hpp>
#include <snug/engine/bring.hpp>
#include <snug/hub/write_model_config.hpp>
#include <snug/layers/hooks.hpp>

/// The whole model again: base weights, decoded where they are quantized, with the adapter in them or
/// without.
namespace snug::SNUG_TARGET {

namespace refusal {

template <class From, class Into>
struct weights_merge_into_the_plain_model {
    static_assert(
        std::is_same_v<typename Into::chosen::model, From> &&
            std::is_same_v<typename Into::adapters, adapters::none> &&
            std::is_same_v<typename Into::quantization, quantization::none>,
        "snug: a model is merged into a trainer of the same model without adapter and quantization (see From "
        "and Into). To store the result in a quantization scheme again, save_model() it and load() it "
        "there: that rounds once more");
};

template <class Adapter, bool HasNames>
struct blocks_that_train_in_part_go_by_files {
    static_assert(
        HasNames,
        "snug: under this adapter some blocks train and others do not, so they are several parameters, "
        "which one of the plain trainer takes no part of (see Adapter). save_model() in this trainer and "
        "load() in the other");
};

template <class Model, bool IsOfAFamily>
struct transformers_does_not_know_this_model {
    static_assert(
        IsOfAFamily,
        "snug: save_model() writes what transformers reads, and there is no config.json for a model of "
        "your own (see Model). save_weights(\"file.safetensors\") writes its weights with this library's "
        "names, and load() reads them");
};

template <class Model, bool IsLikeAType>
struct no_type_of_the_family_is_like_this_model {
    static_assert(IsLikeAType,
                  "snug: save_model() writes a model as a type of config.json, and its family has none with "
                  "this model's traits and window (see Model, and `types` of Model::family)");
};

}  // namespace refusal

namespace engine {

/// Of as many blocks as this one, in however many stretches, a table has the parameter; of no block, it has it.
template <class Table>
constexpr bool has_parameter(Table const& table, parameter_entry const& wanted) {
    index_t copies = 0;
    for (auto const& entry : table.entries)
        if (entry.is_repeated() == wanted.is_repeated() && entry.name_in_block() == wanted.name_in_block() &&
            entry.name_before_block() == wanted.name_before_block() && entry.count == wanted.count &&
            entry.dimensions == wanted.dimensions)
            copies += entry.copies;
    return copies >= wanted.copies;
}

/// The parameters of a trainer have the names that they have in the plain one, each with all of its copies.
template <class C, class Plain>
constexpr bool has_names_of() {
    for (auto const& entry : C::parameter_table.entries) {
        if (!entry.is_of_base()) continue;
        bool is_there = false;
        for (auto const& plain : Plain::parameter_table.entries)
            is_there = is_there || plain.name.view() == entry.name.view();
        if (!is_there) return false;
    }
    return true;
}

/// The parameter of a composition is one of the model as it is without an adapter.
template <class C>
constexpr bool is_parameter_of_model(int p) {
    return has_parameter(C::chosen::model::declare_parameters(), C::entry(p));
}

/// And the other way round.
template <class C>
constexpr bool has_all_parameters_of_model() {
    constexpr auto model = C::chosen::model::declare_parameters();
    for (auto const& entry : model.entries)
        if (!has_parameter(C::parameter_table, entry)) return false;
    return true;
}

/// Refuses, as the program is compiled, to write the weights of an adapter that does not say how they are
/// merged.
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

/// f(row, values) for rows [first, first + count) of a parameter of the base: of a vector, elements of one
/// value.
template <bool Merged, class C, class F>
void for_each_base_row(host_view<C> const& here, int p, index_t copy, index_t first, index_t count,
                       F const& f) {
    using weight = typename C::precision::weight;
    static_assert(sizeof(refusal::a_parameter_of_the_model_is_missing_under_its_adapter<
                         typename C::adapters, typename C::chosen::model, has_all_parameters_of_model<C>()>) >
                  0);
    auto const& entry = C::entry(p);
    auto const width = entry.width();
    std::vector<float> values(static_cast<std::size_t>(width));
    auto const place = weights_at_hand<C>(p, copy);
    auto const read = [&](index_t row) {
        if constexpr (!std::is_same_v<typename C::quantization, quantization::none>)
            if (entry.is_quantized()) {
                using scheme = typename C::quantization;
                auto const stored = scheme::view_of(here.template at<std::byte>(place.where, place.copy),
                                                    {entry.dimensions[0], entry.dimensions[1]});
                scheme::decode(stored, row * width, width, values.data());
                return;
            }
        auto const* const stored = here.template at<weight>(place.where, place.copy) + row * width;
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
        for_each_leaf(here.view(), {}, [&]<class Node, class Call>(Call const& call, index_t block) {
            using L = typename Node::type;
            require_merge<C, Node, Call>();
            if constexpr (layer::has_adapter<L>) {
                int parameter_here = Node::first_parameter;
                meta::for_each<layer::parameters<L>>([&]<class P>(P parameter) {
                    if constexpr (!is_derived<P> && !layer::is_of_adapter<L, P> &&
                                  layer::can_merge<L, Call, P>)
                        if (p == parameter_here && block == copy) {
                            is_adapted = true;
                            for_each_row([&](index_t row) { L::merged_row(call, parameter, row, values); });
                        }
                    ++parameter_here;
                });
            }
        });
    if (!is_adapted) for_each_row([](index_t) {});
}

/// The rows of every parameter of the base that `is_wanted(entry)`, into a trainer of the plain model: looked
/// at first, then written.
template <bool Merged, class C, class Plain, class Wanted>
void write_base(store<C> const& s, store<Plain>& plain, load_options const& allowed,
                Wanted const& is_wanted) {
    static_assert(sizeof(refusal::weights_merge_into_the_plain_model<typename C::chosen::model, Plain>) > 0);
    static_assert(
        sizeof(
            refusal::blocks_that_train_in_part_go_by_files<typename C::adapters, has_names_of<C, Plain>()>) >
        0);
    using element = typename Plain::precision::weight;
    require_same(s, "other load_options", [&] { return std::uint64_t{allowed.allow_not_finite}; });
    host_view<C> const here(s);
    bringing_of_layers<C> bring(s, here, audience::everybody);
    auto const for_each_row_of = [&](int p, auto const& f) {
        auto const& entry = C::entry(p);
        for (index_t copy = 0; copy < entry.copies; ++copy) {
            bring(p, copy);
            for_each_base_row<Merged>(here, p, copy, 0, entry.rows(),
                                      [&](index_t row, auto values) { f(copy, row, values); });
        }
    };
    auto const for_each_wanted = [&](auto const& f) {
        for (int p = 0; p < C::parameters; ++p) {
            auto const& entry = C::entry(p);
            if (entry.is_of_base() && is_wanted(entry)) f(p, entry, entry.width());
        }
    };
    if (!allowed.allow_not_finite)
        for_each_wanted([&](int p, auto const& entry, index_t width) {
            for_each_row_of(p, [&](index_t copy, index_t row, auto values) {
                for (index_t i = 0; i < width; ++i)
                    if (auto const value = values[static_cast<std::size_t>(i)]; !is_finite_in<element>(value))
                        refuse_number({{}, -1, entry.full_name(copy)}, value, row * width + i, true);
            });
        });
    for_each_wanted([&](int p, auto const& entry, index_t width) {
        auto to = copied_weights(plain, entry.name.view());
        for_each_row_of(p, [&](index_t copy, index_t row, auto values) {
            for (index_t i = 0; i < width; ++i)
                to[static_cast<std::size_t>(copy * entry.count + row * width + i)] =
                    static_cast<element>(values[static_cast<std::size_t>(i)]);
        });
        replace_weights(plain, entry.name.view(), std::span<element const>(to), allowed);
    });
}

template <class C, class Plain>
void merge_weights(store<C> const& s, store<Plain>& plain, load_options const& allowed) {
    write_base<true>(s, plain, allowed, [](parameter_entry const&) { return true; });
}

/// What trains beside the adapter is no longer what it was: it stays.
template <class C, class Plain>
void unmerge_weights(store<C> const& s, store<Plain>& plain, load_options const& allowed) {
    write_base<false>(s, plain, allowed, [](parameter_entry const& entry) { return !entry.is_trained(); });
}

/// The base with the adapter in it, by the names that `pieces_of(entry, copy)` gives. What is written beside begins
/// before it and appears after it.
template <class C, class Pieces, class Begin, class Commit>
void write_pieces(store<C> const& s, std::string const& path, Pieces const& pieces_of,
                  Begin const& begin_beside, Commit const& commit_beside) {
    using weight = typename C::precision::weight;
    struct placed_piece {
        int parameter;
        index_t copy;
        io::weight_piece piece;
    };
    host_view<C> const here(s);
    bringing_of_layers<C> bring(s, here, audience::root);
    work_of_root<C> writing(s);
    std::optional<io::safetensors_writer> file;
    std::map<std::string, placed_piece> places;  // in the order of the file: all are of one type
    writing.part([&] { begin_beside(); });
    writing.part([&] { file.emplace(path); });
    for (int p = 0; p < C::parameters; ++p) {
        auto const& entry = C::entry(p);
        if (!entry.is_of_base()) continue;
        for (index_t copy = 0; copy < entry.copies; ++copy)
            for (auto& piece : pieces_of(entry, copy)) {
                std::vector<index_t> dimensions{piece.count};
                if (entry.rank > 1) dimensions.push_back(entry.width());
                if (piece.how == io::arrangement::transposed) std::swap(dimensions[0], dimensions[1]);
                writing.part([&] { file->declare(piece.tensor, type_in_files<weight>, dimensions); });
                auto const name = piece.tensor;
                places.emplace(name, placed_piece{p, copy, std::move(piece)});
            }
    }
    auto const write = [&](std::string const& name, placed_piece const& placed) {
        auto const& [p, copy, piece] = placed;
        auto const width = C::entry(p).width();
        // Row by row; a transposed matrix as a whole.
        bool const is_transposed = piece.how == io::arrangement::transposed;
        std::vector<weight> values(static_cast<std::size_t>(is_transposed ? piece.count * width : width));
        for_each_base_row<true>(
            here, p, copy, piece.first, piece.count,
            [&, first = piece.first, count = piece.count](index_t row, auto from) {
                for (index_t i = 0; i < width; ++i) {
                    auto const value = from[static_cast<std::size_t>(i)];
                    // What the trainer holds is written as it is; what merging has made must be a number.
                    if (std::isfinite(value) && !is_finite_in<weight>(value))
                        refuse_number({path, -1, name}, value, (row - first) * width + i, false);
                    values[static_cast<std::size_t>(is_transposed ? i * count + row - first : i)] =
                        static_cast<weight>(value);
                }
                if (!is_transposed) file->write(name, std::as_bytes(std::span(values)));
            });
        if (is_transposed) file->write(name, std::as_bytes(std::span(values)));
    };
    for (auto const& [name, placed] : places) {
        bring(placed.parameter, placed.copy);
        writing.part([&, &name = name, &placed = placed] { write(name, placed); });
    }
    writing.part([&] {
        file->commit();
        commit_beside();
    });
    writing.finish("agreement on a model");
}

template <class C>
void write_weights(store<C> const& s, std::string const& path) {
    write_pieces(
        s, path,
        [](parameter_entry const& entry, index_t copy) {
            return std::vector<io::weight_piece>{{entry.full_name(copy), 0, entry.rows()}};
        },
        [] {}, [] {});
}

template <class C>
void write_model(store<C> const& s, std::string const& folder) {
    using model = typename C::chosen::model;
    constexpr bool is_of_family = models::of_a_family<model>;
    static_assert(sizeof(refusal::transformers_does_not_know_this_model<model, is_of_family>) > 0);
    if constexpr (is_of_family) {
        constexpr auto written_as = models::type_of(model::family, model::numbers);
        static_assert(sizeof(refusal::no_type_of_the_family_is_like_this_model<model, (written_as >= 0)>) >
                      0);
        constexpr auto type = type_in_files<typename C::precision::weight>;
        constexpr std::string_view dtype = type == io::tensor_type::f64   ? "float64"
                                           : type == io::tensor_type::f32 ? "float32"
                                           : type == io::tensor_type::f16 ? "float16"
                                                                          : "bfloat16";
        std::optional<io::output_file> config;
        write_pieces(
            s, io::in_folder(folder, "model.safetensors"),
            [](parameter_entry const& entry, index_t copy) { return pieces_in_hugging_face<C>(entry, copy); },
            [&] {
                io::make_folder(folder);
                config.emplace(io::in_folder(folder, "config.json"));
                config->write(io::model_config_text(model::family.types[static_cast<std::size_t>(written_as)],
                                                    model::numbers, dtype));
            },
            [&] { config->commit(); });
    }
}

}  // namespace engine
}  // namespace snug::SNUG_TARGET
