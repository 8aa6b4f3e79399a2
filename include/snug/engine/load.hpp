// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cmath>
#include <limits>
#include <set>
#include <snug/engine/host_view.hpp>
#include <snug/io/file_tensor.hpp>
#include <snug/io/gguf.hpp>
#include <snug/io/model_config.hpp>
#include <snug/io/safetensors.hpp>
#include <snug/io/weight_names.hpp>
#include <span>
#include <string>
#include <utility>
#include <vector>

/// Weights from files of others: every tensor is found and checked first, then decoded into its place in the plan.
namespace snug {

namespace detail {

template <class File>
bool holds(File const& file, std::string_view tensor) {
    if constexpr (requires { file.has_tensor(tensor); }) return file.has_tensor(tensor);
    else return file.has(tensor);
}

/// The tensor of a piece. Hugging Face's files come with and without the prefix of the model inside.
template <class File>
io::file_tensor const& tensor_of(File const& file, std::string const& name) {
    if (!holds(file, name))
        for (std::string_view prefix : {"transformer.", "model."})
            if (name.starts_with(prefix) && holds(file, name.substr(prefix.size())))
                return file.tensor(name.substr(prefix.size()));
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

/// "blocks.qkv.weight" as "qkv.weight": the name inside a block.
inline std::string_view name_in_block(parameter_entry const& entry) {
    auto const name = entry.name.view();
    return entry.repeated_at < 0 ? name : name.substr(static_cast<std::size_t>(entry.repeated_at) + 1);
}

/// The name with its block: "blocks.3.qkv.weight".
inline std::string full_name(parameter_entry const& entry, index_t copy) {
    std::string name(entry.name.view());
    if (entry.repeated_at >= 0)
        name.insert(static_cast<std::size_t>(entry.repeated_at), "." + std::to_string(copy));
    return name;
}

/// Rows of a parameter: of a vector, its elements.
inline index_t rows_of(parameter_entry const& entry) { return entry.dimensions[0]; }
inline index_t width_of(parameter_entry const& entry) { return entry.count / entry.dimensions[0]; }

/// Compares what a file says of its model with what the trainer was compiled for; a safetensors file says it in the
/// `config.json` beside it. Where there is none only names and shapes of tensors are compared: bases, scalings and windows
/// of positions, heads of another width and epsilons have no trace in them.
inline void check_model(io::gguf const& file, model_numbers const& compiled) {
    auto found = io::read_model_config(file);
    // A copy of the table serves as a head of its own, too.
    if (found.tied_head && file.has_tensor("output.weight")) found.tied_head = compiled.tied_head;
    io::require(compiled, found, {file.path()});
}
inline void check_model(io::safetensors const& file, model_numbers const& compiled) {
    auto const slash = file.path().rfind('/');
    auto const config = slash == std::string::npos
                            ? "config.json"
                            : io::in_folder(file.path().substr(0, slash), "config.json");
    if (io::is_there(config)) io::require(compiled, io::read_model_config(config), {config});
}

/// The pieces of every parameter that comes from a base model's file.
template <class C, class File>
std::vector<planned_piece> plan_pieces(File const& file, io::naming by, bool pairs) {
    std::vector<planned_piece> result;
    std::set<io::file_tensor const*> used;
    for (int p = 0; p < C::parameters; ++p) {
        auto const& entry = C::parameter_table.entries[static_cast<std::size_t>(p)];
        if (!entry.is_of_base()) continue;
        for (index_t copy = 0; copy < entry.copies; ++copy) {
            std::vector<io::weight_piece> pieces{{full_name(entry, copy), 0, rows_of(entry)}};
            if constexpr (requires { C::chosen::model::numbers; })
                if (by != io::naming::snug)
                    pieces = io::pieces_of(C::chosen::model::numbers, by, name_in_block(entry),
                                           entry.repeated_at < 0 ? -1 : copy, rows_of(entry), pairs);
            index_t covered = 0;
            for (auto& piece : pieces) {
                auto const& tensor = tensor_of(file, piece.tensor);
                std::vector<index_t> expected{piece.count};
                if (entry.rank > 1) expected.push_back(width_of(entry));
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
            if (covered != rows_of(entry))
                throw error(
                    {file.path(), -1, full_name(entry, copy)}, "no name for this parameter in such files",
                    "a parameter of the families gpt2 and llama, or a file with this library's names");
        }
    }
    for (auto const& tensor : file.tensors()) {
        if (used.contains(&tensor) || io::is_no_parameter(tensor.name, by)) continue;
        if (C::chosen::model::head::tied && by != io::naming::snug && io::is_head(tensor.name)) {
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
template <class Backend, class Put>
void decode_piece(planned_piece const& planned, index_t width, index_t head_width, Put const& put) {
    constexpr index_t longest = 1024;
    auto const& [piece, tensor, parameter, block] = planned;
    bool const is_transposed = piece.how == io::arrangement::transposed;
    auto const lines = is_transposed ? width : piece.count;
    auto const length = is_transposed ? piece.count : width;
    auto const how = piece.how;
    ops::for_each_row<Backend>(lines, [=, &put, tensor = tensor, first = piece.first](auto, index_t line) {
        float values[longest];
        for (index_t at = 0; at < length; at += longest) {
            auto const count = std::min(longest, length - at);
            io::decode(*tensor, row_in_file(how, line, head_width) * length + at,
                       {values, static_cast<std::size_t>(count)});
            for (index_t i = 0; i < count; ++i)
                is_transposed ? put(first + at + i, line, values[i]) : put(first + line, at + i, values[i]);
        }
    });
}

template <class... Stored>
bool is_finite_in(float value) {
    return std::isfinite(value) &&
           (std::isfinite(static_cast<float>(static_cast<Stored>(value))) && ... && true);
}

/// Says which number of a tensor is refused, and how it is taken nevertheless.
[[noreturn]] inline void refuse_number(place where, float value, index_t i, bool may_be_allowed) {
    throw error(std::move(where), number_as_text(value) + " at element " + std::to_string(i),
                std::string(std::isfinite(value) ? "a number that is finite in the type that stores it"
                                                 : "a finite number") +
                    (may_be_allowed ? "; load_options{.allow_not_finite = true} takes it as it is" : ""));
}

/// The first of `count` numbers that is not finite in all these types, and which it is; `count` when there is none.
/// decode(first, values) fills a span with the numbers from the first on.
template <class Backend, class... Stored, class Decode>
std::pair<index_t, float> first_not_finite(index_t count, Decode const& decode) {
    constexpr index_t length = 4096;
    std::atomic<index_t> first = count;
    ops::for_each_row<Backend>((count + length - 1) / length, [&](auto, index_t which) {
        float values[length];
        auto const begin = which * length;
        auto const end = std::min(begin + length, count);
        decode(begin, std::span(values, static_cast<std::size_t>(end - begin)));
        index_t i = begin;
        while (i < end && is_finite_in<Stored...>(values[i - begin])) ++i;
        if (i == end) return;
        auto seen = first.load(std::memory_order_relaxed);
        while (i < seen && !first.compare_exchange_weak(seen, i, std::memory_order_relaxed)) {
        }
    });
    float value[1] = {};
    auto const found = first.load(std::memory_order_relaxed);
    if (found < count) decode(found, std::span(value));
    return {found, value[0]};
}

/// The same for what a scheme has stored of a parameter, in memory aligned to 64.
template <class Backend, class Parameter>
std::pair<index_t, float> first_not_finite_stored(std::byte const* region) {
    using scheme = typename Parameter::scheme;
    auto const stored = scheme::view_of(region, Parameter::extent);
    return first_not_finite<Backend>(Parameter::shape::count, [&](index_t first, std::span<float> to) {
        scheme::decode(stored, first, static_cast<index_t>(to.size()), to.data());
    });
}

/// Throws for the first number of a tensor that is not finite, in the file or in one of the types that are to store it.
template <class Backend, class... Stored>
void require_finite(io::file_tensor const& tensor, bool may_be_allowed = true) {
    auto const [i, value] = first_not_finite<Backend, Stored...>(
        tensor.size(), [&](index_t first, std::span<float> to) { io::decode(tensor, first, to); });
    if (i < tensor.size()) refuse_number(tensor.where(), value, i, may_be_allowed);
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

}  // namespace detail

template <class C>
template <class File>
void run<C>::load(File const& file, load_options const& allowed) {
    using backend = on_host<typename C::backend>;
    constexpr bool is_gguf = std::is_same_v<File, io::gguf>;
    auto by = is_gguf ? io::naming::gguf : io::naming::hugging_face;
    bool pairs = false;
    if constexpr (requires { C::chosen::model::numbers; })
        detail::check_model(file, C::chosen::model::numbers);
    if constexpr (is_gguf) pairs = file.text("general.architecture") == "llama";
    else if (detail::holds(file, detail::full_name(C::parameter_table.entries[0], 0))) by = io::naming::snug;
    auto const pieces = detail::plan_pieces<C>(file, by, pairs);

    index_t head_width = 1;
    if constexpr (requires { C::chosen::model::numbers; }) head_width = C::chosen::model::numbers.head_width;
    auto const entry_of = [](detail::planned_piece const& piece) -> parameter_entry const& {
        return C::parameter_table.entries[static_cast<std::size_t>(piece.parameter)];
    };
    for (auto const& piece : pieces) {
        if (entry_of(piece).is_quantized()) detail::require_finite<backend>(*piece.tensor, false);
        else if (!allowed.allow_not_finite)
            detail::require_finite<backend, weight_type, typename C::updated>(*piece.tensor);
        file.forget();
    }
    {
        host_view here(*this);
        // The pieces of one parameter and block follow each other. f(the first of them, its parameter's type) when all are there.
        auto const for_each_quantized = [&](auto const& f) {
            auto const first_of = [&](std::size_t i) {
                return i == 0 || pieces[i - 1].parameter != pieces[i].parameter ||
                       pieces[i - 1].block != pieces[i].block;
            };
            std::size_t first = 0;
            for (std::size_t i = 0; i < pieces.size(); ++i) {
                if (!entry_of(pieces[i]).is_quantized()) continue;
                if (first_of(i)) first = i;
                auto const width = detail::width_of(entry_of(pieces[i]));
                auto* const staged = at<float>(C::quantization_source);
                detail::decode_piece<backend>(
                    pieces[i], width, head_width,
                    [=](index_t row, index_t column, float value) { staged[row * width + column] = value; });
                if (i + 1 == pieces.size() || first_of(i + 1))
                    with_quantized(pieces[i].parameter, [&](auto parameter) { f(pieces[first], parameter); });
                file.forget();
            }
        };
        // A scheme may have no room for what is finite, or make of it what is not: it is tried beside the trainer's memory.
        index_t largest = 0;
        for (auto const& entry : C::parameter_table.entries) largest = std::max(largest, entry.stored_bytes);
        arena const beside({largest});
        for_each_quantized([&]<class Parameter>(detail::planned_piece const& piece, Parameter) {
            auto const where = [&] {
                auto at = piece.tensor->where();
                at.tensor += " in " + detail::full_name(entry_of(piece), piece.block);
                return at;
            };
            try {
                quantize<Parameter>(at<float>(C::quantization_source), beside.data());
            } catch (error const& refused) {
                throw error(where(), refused.found(), refused.expected());
            }
            auto const [i, value] = detail::first_not_finite_stored<backend, Parameter>(beside.data());
            if (i < Parameter::shape::count)
                throw error(where(),
                            "a number that the quantization scheme stores as " +
                                detail::number_as_text(value) + ", element " + std::to_string(i),
                            "numbers of a size that the scheme can store");
        });
        // From here on nothing can fail.
        for_each_quantized([&]<class Parameter>(detail::planned_piece const& piece, Parameter) {
            quantize<Parameter>(at<float>(C::quantization_source), at<std::byte>(C::weight(piece.parameter)) +
                                                                       piece.block * Parameter::stored_bytes);
        });
        for (auto const& piece : pieces) {
            auto const p = piece.parameter;
            auto const& entry = entry_of(piece);
            if (entry.is_quantized()) continue;
            auto const width = detail::width_of(entry);
            auto* const values = at<weight_type>(C::weight(p)) + piece.block * entry.count;
            auto* const master =
                C::has_master && entry.is_trained()
                    ? at<typename C::updated>(C::has_master ? C::master(p) : 0) + piece.block * entry.count
                    : nullptr;
            detail::decode_piece<backend>(
                piece, width, head_width, [=](index_t row, index_t column, float value) {
                    values[row * width + column] = static_cast<weight_type>(value);
                    if constexpr (C::has_master)
                        if (master != nullptr)
                            master[row * width + column] = static_cast<typename C::updated>(value);
                });
            file.forget();
        }
        here.write_back();
    }
    // Gradients and states were those of other weights.
    clear_states();
    steps_ = 0;
    loss_scale_ = {};
    start_adapters();
}

template <class C>
template <class F>
void run<C>::with_quantized(int wanted, F const& f) {
    int p = 0;
    auto const visit = [&]<class Parameter>(Parameter parameter) {
        if constexpr (is_quantized<Parameter>)
            if (p == wanted) f(parameter);
        ++p;
    };
    meta::for_each<typename layer::all_parameters_of<typename model::body>::type>(visit);
    meta::for_each<typename layer::all_parameters_of<typename model::head>::type>(visit);
}

/// The values of one copy, row by row, as its scheme stores them, into memory aligned to 64.
template <class C>
template <class Parameter>
void run<C>::quantize(float const* values, std::byte* region) {
    Parameter::scheme::encode(std::span(values, static_cast<std::size_t>(Parameter::shape::count)),
                              Parameter::extent, region, [](index_t count, auto const& body) {
                                  ops::for_each_row<on_host<typename C::backend>>(
                                      count, [&body](auto, index_t i) { body(i); });
                              });
}

}  // namespace snug
