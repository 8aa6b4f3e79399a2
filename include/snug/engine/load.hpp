// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>
#include <set>
#include <snug/diagnose/require.hpp>
#include <snug/engine/finite.hpp>
#include <snug/engine/host_view.hpp>
#include <snug/engine/initialise.hpp>
#include <snug/engine/options.hpp>
#include <snug/engine/quantize.hpp>
#include <snug/engine/refresh.hpp>
#include <snug/engine/verdicts.hpp>
#include <snug/hub/model_config.hpp>
#include <snug/hub/weight_names.hpp>
#include <snug/io/file_tensor.hpp>
#include <snug/io/gguf.hpp>
#include <snug/io/safetensors.hpp>
#include <snug/io/snapshot.hpp>
#include <snug/ops/for_each_row.hpp>
#include <span>
#include <string>
#include <utility>
#include <vector>

/// Weights from files of others: every tensor is found and checked first, then decoded into its place in the
/// plan.
namespace snug::SNUG_TARGET::engine {

template <class File>
bool holds(File const& file, std::string_view tensor) {
    if constexpr (requires { file.has_tensor(tensor); }) return file.has_tensor(tensor);
    else return file.has(tensor);
}

/// Equal on ranks that read the same file: of what it says of its tensors, and how each begins.
template <class File>
std::uint64_t fingerprint_of(File const& file) {
    constexpr std::size_t longest = 4096;
    distributed::fnv1a sum;
    for (auto const& tensor : file.tensors()) {
        sum.add(tensor.name).add(static_cast<int>(tensor.type)).add(tensor.offset).add(tensor.bytes.size());
        sum.add(io::checksum::of(tensor.bytes.first(std::min(tensor.bytes.size(), longest))));
    }
    return sum.value();
}

/// The tensor of a piece. Hugging Face's files come with and without the prefix of the model inside, or with another
/// one.
template <class File>
io::file_tensor const& tensor_of(File const& file, std::string const& name, std::string_view prefix,
                                 std::span<std::string_view const> other_prefixes) {
    if (!holds(file, name) && name.starts_with(prefix)) {
        auto const rest = name.substr(prefix.size());
        if (holds(file, rest)) return file.tensor(rest);
        for (auto const other : other_prefixes)
            if (holds(file, std::string(other) + rest)) return file.tensor(std::string(other) + rest);
    }
    return file.tensor(name);
}

/// Where row `row` of a piece is in its tensor.
inline index_t row_in_file(io::arrangement how, index_t row, index_t head_width) {
    if (how != io::arrangement::rotary_pairs) return row;
    auto const half = head_width / 2;
    auto const in_head = row % head_width;
    return row - in_head + in_head % half * 2 + in_head / half;
}

/// A parameter's part of the work: pieces, their tensors, and which parameter and block they belong to.
struct planned_piece {
    io::weight_piece piece;
    io::file_tensor const* tensor;
    int parameter;
    index_t block;
};

/// Compares what a file says of its model with what the trainer was compiled for; a safetensors file says it
/// in the `config.json` beside it. Where there is none only names and shapes of tensors are compared: bases,
/// scalings and windows of positions, heads of another width and epsilons have no trace in them.
inline void check_model(io::gguf const& file, models::model_family const& family,
                        model_numbers const& compiled) {
    auto found = io::read_model_config(file, &family);
    // A copy of the table serves as a head of its own, too.
    if (found.tied_head && file.has_tensor(io::head_in_gguf)) found.tied_head = compiled.tied_head;
    io::require(compiled, found, {file.path()});
}
inline void check_model(io::safetensors const& file, models::model_family const& family,
                        model_numbers const& compiled) {
    auto const slash = file.path().rfind('/');
    auto const config = slash == std::string::npos
                            ? "config.json"
                            : io::in_folder(file.path().substr(0, slash), "config.json");
    if (io::is_there(config)) io::require(compiled, io::read_model_config(config, &family), {config});
}

/// The pieces of every parameter that comes from a base model's file.
template <class C, class File>
std::vector<planned_piece> plan_pieces(File const& file, io::naming by, bool pairs) {
    using model = typename C::chosen::model;
    std::string_view prefix;
    std::span<std::string_view const> other_prefixes, other_modules;
    if constexpr (models::of_a_family<model>) {
        prefix = model::family.prefix;
        other_prefixes = model::family.other_prefixes;
        other_modules = model::family.other_modules;
    }
    std::vector<planned_piece> result;
    std::set<io::file_tensor const*> used;
    for (int p = 0; p < C::parameters; ++p) {
        auto const& entry = C::entry(p);
        if (!entry.is_of_base()) continue;
        for (index_t copy = 0; copy < entry.copies; ++copy) {
            std::vector<io::weight_piece> pieces{{entry.full_name(copy), 0, entry.rows()}};
            if constexpr (models::of_a_family<model>)
                if (by != io::naming::snug)
                    pieces = io::pieces_of(model::family, model::numbers, by, entry.name_in_block(),
                                           entry.block(copy), entry.rows(), pairs);
            index_t covered = 0;
            for (auto& piece : pieces) {
                auto const& tensor = tensor_of(file, piece.tensor, prefix, other_prefixes);
                std::vector<index_t> expected{piece.count};
                if (entry.rank > 1) expected.push_back(entry.width());
                if (piece.how == io::arrangement::transposed) std::swap(expected[0], expected[1]);
                if (tensor.dimensions != expected)
                    throw error({tensor.file, tensor.offset, tensor.name},
                                io::shape_text(tensor.type, tensor.dimensions),
                                io::shape_text(tensor.type, expected) + ", as this trainer was compiled for");
                io::decode(tensor, 0, {});  // refuses a type without values
                used.insert(&tensor);
                covered += piece.count;
                result.push_back({std::move(piece), &tensor, p, copy});
            }
            if (covered != entry.rows())
                throw error({file.path(), -1, entry.full_name(copy)},
                            "no name for this parameter in such files",
                            "a parameter of the families " + io::names_of_families() +
                                ", or a file with this library's names");
        }
    }
    for (auto const& tensor : file.tensors()) {
        if (used.contains(&tensor) || io::is_no_parameter(tensor.name, by, other_modules)) continue;
        if (model::head::tied && by != io::naming::snug && io::is_head(tensor.name)) {
            // The table is the first parameter.
            if (io::are_the_same(tensor, *result.front().tensor)) continue;
            throw error({tensor.file, tensor.offset, tensor.name}, "a head of its own",
                        "none, or a copy of " + io::printable(result.front().tensor->name) +
                            ": the trainer was compiled for a head tied to the embedding");
        }
        throw error({tensor.file, tensor.offset, tensor.name}, "a tensor that this model has no place for",
                    "only the parameters of the model that the trainer was compiled for");
    }
    return result;
}

/// Calls put(row, column, values) for pieces of rows of a tensor, in parallel.
template <class Context, class Put>
void decode_piece(Context on, planned_piece const& planned, index_t width, index_t head_width,
                  Put const& put) {
    constexpr index_t longest = 1024;
    auto const& [piece, tensor, parameter, block] = planned;
    bool const is_transposed = piece.how == io::arrangement::transposed;
    auto const lines = is_transposed ? width : piece.count;
    auto const length = is_transposed ? piece.count : width;
    auto const how = piece.how;
    auto const more = how == io::arrangement::one_more ? 1.0f : 0.0f;
    ops::for_each_row(on, lines, [=, &put, tensor = tensor, first = piece.first](auto, index_t line) {
        float values[longest];
        for (index_t at = 0; at < length; at += longest) {
            auto const count = std::min(longest, length - at);
            io::decode(*tensor, row_in_file(how, line, head_width) * length + at,
                       {values, static_cast<std::size_t>(count)});
            for (index_t i = 0; i < count; ++i)
                is_transposed ? put(first + at + i, line, values[i])
                              : put(first + line, at + i, values[i] - more);
        }
    });
}

/// Throws unless two tensors of one shape have the same values.
inline void require_same_values(io::file_tensor const& one, io::file_tensor const& other) {
    constexpr index_t length = 4096;
    float a[length], b[length];
    for (index_t begin = 0; begin < one.size(); begin += length) {
        auto const count = std::min(length, one.size() - begin);
        io::decode(one, begin, {a, static_cast<std::size_t>(count)});
        io::decode(other, begin, {b, static_cast<std::size_t>(count)});
        for (index_t i = 0; i < count; ++i)
            if (a[i] != b[i] && !(std::isnan(a[i]) && std::isnan(b[i])))
                throw error(other.where(),
                            "another value at element " + std::to_string(begin + i) + " than " +
                                io::printable(one.name) + " has",
                            "the same: they are one parameter of this model, whose head is its embedding");
    }
}

/// The values of every quantized parameter and block, staged in turn: f(the first of its pieces, its
/// parameter's type).
template <class C, class File, class F>
void for_each_quantized(host_view<C> const& here, File const& file, std::vector<planned_piece> const& pieces,
                        index_t head_width, F const& f) {
    // The pieces of one parameter and block follow each other.
    auto const is_first = [&](std::size_t i) {
        return i == 0 || pieces[i - 1].parameter != pieces[i].parameter ||
               pieces[i - 1].block != pieces[i].block;
    };
    auto* const staged = here.template at<float>(C::places.quantization_source);
    std::size_t first = 0;
    for (std::size_t i = 0; i < pieces.size(); ++i) {
        auto const& entry = C::entry(pieces[i].parameter);
        if (!entry.is_quantized()) continue;
        if (is_first(i)) first = i;
        auto const width = entry.width();
        decode_piece(here.on(), pieces[i], width, head_width,
                     [=](index_t row, index_t column, float value) { staged[row * width + column] = value; });
        if (i + 1 == pieces.size() || is_first(i + 1))
            with_quantized<C>(pieces[i].parameter, [&](auto parameter) { f(pieces[first], parameter); });
        file.forget();
    }
}

/// Throws when a scheme has no room for what is finite, or makes of it what is not: tried beside the
/// trainer's memory.
template <class C, class File>
void try_quantized(host_view<C> const& here, File const& file, std::vector<planned_piece> const& pieces,
                   index_t head_width) {
    index_t largest = 0;
    for (auto const& entry : C::parameter_table.entries) largest = std::max(largest, entry.stored_bytes);
    arena const beside({largest});
    for_each_quantized(
        here, file, pieces, head_width, [&]<class Parameter>(planned_piece const& piece, Parameter) {
            auto const where = [&] {
                auto at = piece.tensor->where();
                at.tensor += " in " + C::entry(piece.parameter).full_name(piece.block);
                return at;
            };
            try {
                quantize<Parameter>(here.on(), here.template at<float>(C::places.quantization_source),
                                    beside.data());
            } catch (error const& refused) {
                throw error(where(), refused.found(), refused.expected());
            }
            auto const [i, value] = first_not_finite_stored<Parameter>(here.on(), beside.data());
            if (i < Parameter::shape::count)
                throw error(where(),
                            "a number that the quantization scheme stores as " +
                                detail::number_as_text(value) + ", element " + std::to_string(i),
                            "numbers of a size that the scheme can store");
        });
}

/// A piece of a parameter that no scheme stores, into its weights and their master copy.
template <class C>
void write_piece(host_view<C> const& here, planned_piece const& piece, index_t head_width) {
    using weight = typename C::precision::weight;
    auto const p = piece.parameter;
    auto const width = C::entry(p).width();
    auto const before = piece.block * C::entry(p).count;
    auto const memory = here.view();
    decode_piece(here.on(), piece, width, head_width, [=](index_t row, index_t column, float value) {
        auto const i = before + row * width + column;
        if (auto* const to = memory.template find<weight>(C::weight(p), p, i))
            *to = static_cast<weight>(value);
        if constexpr (C::has_master)
            if (auto* const to = memory.template find<typename C::updated>(C::master(p), p, i))
                *to = static_cast<typename C::updated>(value);
    });
}

template <class C, class File>
void load_weights(store<C>& s, File const& file, load_options const& allowed) {
    constexpr bool is_gguf = std::is_same_v<File, io::gguf>;
    auto by = is_gguf ? io::naming::gguf : io::naming::hugging_face;
    bool pairs = false;
    index_t head_width = 1;
    using model = typename C::chosen::model;
    if constexpr (models::of_a_family<model>) head_width = model::numbers.head_width;
    std::vector<planned_piece> pieces;
    auto const is_quantized = [](planned_piece const& piece) {
        return C::entry(piece.parameter).is_quantized();
    };
    {
        host_view<C> const here(s);
        together(s, "agreement on weights", [&] {
            if constexpr (models::of_a_family<model>) check_model(file, model::family, model::numbers);
            if constexpr (is_gguf) {
                auto const architecture = file.text("general.architecture");
                if constexpr (models::of_a_family<model>)
                    pairs = io::has_rotary_pairs(model::family, architecture);
            } else if (holds(file, C::entry(0).full_name(0))) by = io::naming::snug;
            pieces = plan_pieces<C>(file, by, pairs);
            for (auto const& piece : pieces) {
                if (is_quantized(piece)) require_finite(s.on_host(), *piece.tensor, false);
                else if (!allowed.allow_not_finite)
                    require_finite<typename C::precision::weight, typename C::updated>(s.on_host(),
                                                                                       *piece.tensor);
                file.forget();
            }
            try_quantized(here, file, pieces, head_width);
        });
        require_same(s, "another file", [&] { return fingerprint_of(file); });
        // From here on nothing can fail.
        for_each_quantized(
            here, file, pieces, head_width, [&]<class Parameter>(planned_piece const& piece, Parameter) {
                store_quantized<Parameter>(here, piece.parameter, piece.block,
                                           here.template at<float>(C::places.quantization_source));
            });
        for (auto const& piece : pieces) {
            if (is_quantized(piece)) continue;
            write_piece(here, piece, head_width);
            file.forget();
        }
        here.write_back();
    }
    begin_anew(s);
    start_adapters(s);
}

}  // namespace snug::SNUG_TARGET::engine
