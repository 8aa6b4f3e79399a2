// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <cstring>
#include <snug/engine/host_view.hpp>
#include <snug/engine/meaning.hpp>
#include <snug/io/snapshot.hpp>
#include <snug/kernels/elements.hpp>
#include <snug/ops/backend.hpp>
#include <string>

/// A snapshot holds the logical state of training: every parameter as the optimizer sees it, the optimizer's states,
/// the step, and what gives these numbers their meaning (meaning.hpp). What a policy changes about memory (checkpointing,
/// accumulation, batch) is not in it, so a run can go on under other such policies; another model, adapter or optimizer is
/// refused by name, another precision of the master copy by the tensors' element type.
namespace snug {

namespace detail {

/// A trainer with an adapter: the frozen weights that it stands on are in no snapshot, only their checksum.
template <class C>
inline constexpr bool stands_on_a_base = !std::is_same_v<typename C::adapters, adapters::none>;

/// The tensors of a snapshot of composition C: (declaration, name, shape) in the order in which they are written.
template <class C, class F>
void for_each_snapshot_tensor(F&& f) {
    for (int p = 0; p < C::parameters; ++p) {
        auto const& entry = C::parameter_table.entries[static_cast<std::size_t>(p)];
        auto const visit = [&](int id, std::string name) {
            auto const& declared = C::plan.declarations[static_cast<std::size_t>(id)];
            std::vector<std::int64_t> dimensions;
            if (declared.count != entry.count) {  // in blocks
                f(id, io::tensor_shape{std::move(name),
                                       std::string(declared.element),
                                       {declared.copies, declared.count},
                                       declared.size().count});
                return;
            }
            if (entry.repeated_at >= 0) dimensions.push_back(entry.copies);
            for (int d = 0; d < entry.rank; ++d)
                dimensions.push_back(entry.dimensions[static_cast<std::size_t>(d)]);
            f(id, io::tensor_shape{std::move(name), std::string(declared.element), std::move(dimensions),
                                   declared.size().count});
        };
        std::string const name(entry.name.view());
        if (entry.is_derived()) continue;
        // The base of an adapter is somewhere else already, and never changes.
        if (!entry.is_trained() && stands_on_a_base<C>) continue;
        if (!entry.is_trained()) {
            // The scheme's own bytes; its name is their type.
            if constexpr (!std::is_same_v<typename C::quantization, snug::quantization::none>)
                f(C::weight(p),
                  io::tensor_shape{name,
                                   std::string(quantization::name_of<typename C::quantization>()),
                                   {entry.copies, entry.stored_bytes},
                                   entry.copies * entry.stored_bytes});
            continue;
        }
        visit(C::has_master ? C::master(p) : C::weight(p), name);
        int which = 0;
        meta::for_each<typename C::optimizer::states>([&]<class State>(State) {
            visit(C::state(which++, p), name + "." + std::string(State::name.view()));
        });
    }
}

inline constexpr std::string_view note_prefix = "note.";
inline constexpr std::int64_t most_notes = 1 << 20;
/// More steps than a double counts exactly, in which an optimizer's corrections count them, are no training.
inline constexpr std::int64_t most_steps = std::int64_t{1} << 53;

/// Throws for the first of the numbers that is not finite, there or where it is to be stored.
template <class T, class Stored = T>
void require_finite_in(io::snapshot_reader const& file, std::string const& name) {
    auto const& tensor = file.tensor(name);
    for (std::size_t i = 0; i + sizeof(T) <= tensor.bytes.size(); i += sizeof(T)) {
        T number;
        std::memcpy(&number, tensor.bytes.data() + i, sizeof(T));
        if (auto const value = kernels::as_double(number);
            !std::isfinite(value) || !std::isfinite(kernels::as_double(static_cast<Stored>(number))))
            throw error({file.path(), tensor.offset + static_cast<std::int64_t>(i), name},
                        number_as_text(value) + " at element " + std::to_string(i / sizeof(T)),
                        "numbers that are finite in the type that stores them");
    }
}

/// The same for the scales of blocks of codes.
template <class Block>
void require_finite_scales(io::snapshot_reader const& file, std::string const& name) {
    auto const& tensor = file.tensor(name);
    for (std::size_t i = 0; i + sizeof(Block) <= tensor.bytes.size(); i += sizeof(Block)) {
        Block block;
        std::memcpy(&block, tensor.bytes.data() + i, sizeof(Block));
        if (auto const scale = kernels::as_double(block.scale); !std::isfinite(scale))
            throw error(
                {file.path(), tensor.offset + static_cast<std::int64_t>(i), name},
                "a scale of " + number_as_text(scale) + " of block " + std::to_string(i / sizeof(Block)),
                "a finite one");
    }
}

/// Throws unless the tensors of the file mean to a trainer of composition C what they meant to the one that wrote them.
template <class C>
void require_meaning(io::snapshot_reader const& file) {
    if (!file.has("meaning"))
        throw error({file.path()}, "a snapshot that does not say what its numbers mean, from before snug did",
                    "one with the entry \"meaning\"");
    auto const expected = meaning_of<C>();
    if (auto const [theirs, ours] = first_difference(file.text("meaning"), expected); theirs != ours)
        throw error({file.path()},
                    "a snapshot of another trainer: " + (theirs.empty() ? "nothing" : io::printable(theirs)),
                    ours.empty() ? "nothing" : io::printable(ours));
}

}  // namespace detail

template <class C>
std::int64_t run<C>::checksum_of_base() const {
    host_view const here(*this);
    io::checksum sum;
    for (int p = 0; p < C::parameters; ++p) {
        auto const& entry = C::parameter_table.entries[static_cast<std::size_t>(p)];
        if (entry.is_trained() || !entry.is_of_base()) continue;
        // Pieces of a checksum are multiples of 32 bytes, but for the last: one sum for each parameter, summed up in turn.
        auto const size = C::plan.declarations[static_cast<std::size_t>(C::weight(p))].size().count;
        auto const own = io::checksum::of(std::span(
            static_cast<std::byte const*>(at<std::byte>(C::weight(p))), static_cast<std::size_t>(size)));
        std::array<std::uint64_t, 4> const whole{own, 0, 0, 0};
        sum.update(std::as_bytes(std::span(whole)));
    }
    return static_cast<std::int64_t>(sum.value());
}

template <class C>
void run<C>::save(std::string const& path,
                  std::vector<std::pair<std::string, std::string>> const& notes) const {
    place where;
    if (auto const element = what_is_not_finite(where); !element.empty())
        throw error({path, -1, where.tensor}, element, "finite weights and states; the file is as it was");
    host_view const here(*this);
    io::snapshot_writer file(path);
    file.number("steps", steps_);
    file.text("meaning", detail::meaning_of<C>());
    if constexpr (detail::stands_on_a_base<C>) file.number("base", checksum_of_base());
    if constexpr (scales_loss<typename C::precision>) {
        file.number("loss_scale.exponent", std::ilogb(loss_scale_.value));  // always a power of two
        file.number("loss_scale.good_steps", loss_scale_.good_steps);
    }
    if (notes.size() > static_cast<std::size_t>(detail::most_notes))
        throw error({path}, std::to_string(notes.size()) + " notes",
                    "at most " + std::to_string(detail::most_notes));
    file.number("notes", static_cast<std::int64_t>(notes.size()));
    for (std::size_t i = 0; i < notes.size(); ++i) {
        file.text(std::string(detail::note_prefix) + std::to_string(i) + ".key", notes[i].first);
        file.text(std::string(detail::note_prefix) + std::to_string(i) + ".value", notes[i].second);
    }
    detail::for_each_snapshot_tensor<C>([&](int id, io::tensor_shape const& shape) {
        file.tensor(shape.name, shape.dtype, shape.dims, at<std::byte>(id), shape.bytes);
    });
    file.commit();
}

template <class C>
std::vector<std::pair<std::string, std::string>> run<C>::resume(std::string const& path) {
    io::snapshot_reader const file(path);
    std::vector<io::tensor_shape> expected;
    detail::for_each_snapshot_tensor<C>(
        [&](int, io::tensor_shape shape) { expected.push_back(std::move(shape)); });
    auto const steps = file.number("steps", 0, detail::most_steps);
    detail::require_meaning<C>(file);
    file.require(expected);
    if constexpr (detail::stands_on_a_base<C>)
        if (file.number("base") != checksum_of_base())
            throw error({path}, "a snapshot of an adapter on other base weights (their checksum differs)",
                        "the weights that it was trained on, loaded before it is resumed");
    auto const note_count = file.number("notes", 0, detail::most_notes);
    std::vector<std::pair<std::string, std::string>> notes;
    for (std::int64_t i = 0; i < note_count; ++i) {
        auto const key = std::string(detail::note_prefix) + std::to_string(i);
        notes.emplace_back(file.text(key + ".key"), file.text(key + ".value"));
    }
    loss_scale scale;
    if constexpr (scales_loss<typename C::precision>) {
        scale.value =
            std::ldexp(1.0, static_cast<int>(file.number("loss_scale.exponent", scale.least_exponent,
                                                         scale.largest_exponent)));
        scale.good_steps = file.number("loss_scale.good_steps", 0, scale.steps_until_growth - 1);
    }
    for (int p = 0; p < C::parameters; ++p) {
        auto const& entry = C::parameter_table.entries[static_cast<std::size_t>(p)];
        if (!entry.is_trained()) continue;
        std::string const name(entry.name.view());
        detail::require_finite_in<typename C::updated, weight_type>(file, name);
        meta::for_each<typename C::optimizer::states>([&]<class State>(State) {
            auto const of_state = name + "." + std::string(State::name.view());
            if constexpr (may_be_in_blocks<State>)
                if (is_in_blocks<State>(entry.count)) {
                    detail::require_finite_scales<typename State::block>(file, of_state);
                    return;
                }
            detail::require_finite_in<typename State::element>(file, of_state);
        });
    }
    {
        host_view here(*this);
        // From here on nothing can fail: every byte has been checked.
        detail::for_each_snapshot_tensor<C>([&](int id, io::tensor_shape const& shape) {
            auto const bytes = file.tensor(shape.name).bytes;
            std::memcpy(at<std::byte>(id), bytes.data(), bytes.size());
        });
        here.write_back();
    }
    if constexpr (C::has_master)
        for (int p = 0; p < C::parameters; ++p) {
            auto const* const from = at<typename C::updated>(C::master(p));
            auto* const to = at<weight_type>(C::weight(p));
            ops::for_each_element<typename C::backend>(
                C::parameter_table.entries[static_cast<std::size_t>(p)].trained(),
                ops::bound<kernels::convert>(from, to));
        }
    clear_gradients();
    refresh();
    steps_ = steps;
    loss_scale_ = scale;
    return notes;
}

}  // namespace snug
