// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <cstring>
#include <exception>
#include <optional>
#include <snug/diagnose/require.hpp>
#include <snug/engine/collect.hpp>
#include <snug/engine/diagnose.hpp>
#include <snug/engine/host_view.hpp>
#include <snug/engine/meaning.hpp>
#include <snug/engine/refresh.hpp>
#include <snug/engine/store.hpp>
#include <snug/io/snapshot.hpp>
#include <snug/kernels/elements.hpp>
#include <string>

/// A snapshot holds the logical state of training: every parameter as the optimizer sees it, the optimizer's
/// states, the step, and what gives these numbers their meaning (meaning.hpp). What a policy changes about
/// memory (checkpointing, accumulation, batch) is not in it, so a run can go on under other such policies;
/// another model, adapter or optimizer is refused by name, another precision of the master copy by the
/// tensors' element type.
namespace snug::SNUG_TARGET::engine {

/// A trainer with an adapter: the frozen weights that it stands on are in no snapshot, only their checksum.
template <class C>
inline constexpr bool stands_on_a_base = !std::is_same_v<typename C::adapters, adapters::none>;

/// The tensors of a snapshot of composition C: f(array, name and shape) in the order in which they are written.
template <class C, class F>
void for_each_snapshot_tensor(F&& f) {
    for (int p = 0; p < C::parameters; ++p) {
        auto const& entry = C::entry(p);
        if (entry.is_derived()) continue;
        std::string const name(entry.name.view());
        auto const visit = [&]<class T>(std::type_identity<T>, region where, std::string tensor,
                                        std::vector<std::int64_t> dimensions, index_t count) {
            array_bytes const array{where, count * index_t{sizeof(T)}, entry.copies};
            f(array, io::tensor_shape{std::move(tensor), std::string(element_name<T>), std::move(dimensions),
                                      array.size * array.copies});
        };
        if (!entry.is_trained()) {
            // The base of an adapter is somewhere else already, and never changes.
            if (stands_on_a_base<C>) continue;
            // The scheme's own bytes; its name is their type.
            if constexpr (!std::is_same_v<typename C::quantization, snug::quantization::none>)
                f(array_bytes{C::weight(p), entry.stored_bytes, entry.copies},
                  io::tensor_shape{name,
                                   std::string(quantization::name_of<typename C::quantization>()),
                                   {entry.copies, entry.stored_bytes},
                                   entry.copies * entry.stored_bytes});
            continue;
        }
        std::vector<std::int64_t> dimensions;
        if (entry.is_repeated()) dimensions.push_back(entry.copies);
        for (int d = 0; d < entry.rank; ++d)
            dimensions.push_back(entry.dimensions[static_cast<std::size_t>(d)]);
        visit(std::type_identity<typename C::updated>{}, C::has_master ? C::master(p) : C::weight(p), name,
              dimensions, entry.count);
        int which = 0;
        meta::for_each<typename C::optimizer::states>([&]<class State>(State) {
            auto const state = C::state(which++, p);
            auto const of_state = name + "." + std::string(State::name.view());
            if constexpr (may_be_in_blocks<State>)
                if (is_in_blocks<State>(entry.count)) {
                    using block = typename State::block;
                    auto const blocks = optimizers::units_for<block>(entry.count);
                    return visit(std::type_identity<block>{}, state, of_state, {entry.copies, blocks},
                                 blocks);
                }
            visit(std::type_identity<typename State::element>{}, state, of_state, dimensions, entry.count);
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
                        detail::number_as_text(value) + " at element " + std::to_string(i / sizeof(T)),
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
        for (auto const scale : block.scales)
            if (!std::isfinite(scale))
                throw error({file.path(), tensor.offset + static_cast<std::int64_t>(i), name},
                            "a scale of " + detail::number_as_text(scale) + " of block " +
                                std::to_string(i / sizeof(Block)),
                            "a finite one");
    }
}

/// Throws unless the tensors of the file mean to a trainer of composition C what they meant to the one that
/// wrote them.
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

/// Of all weights that no training changes; on rank 0.
template <class C>
std::int64_t checksum_of_base(store<C> const& s) {
    host_view<C> const here(s);
    io::checksum sum;
    for (int p = 0; p < C::parameters; ++p) {
        auto const& entry = C::entry(p);
        if (entry.is_trained() || !entry.is_of_base()) continue;
        auto const size = entry.is_quantized() ? entry.stored_bytes
                                               : entry.count * index_t{sizeof(typename C::precision::weight)};
        io::checksum own;
        collect(s, here.view(), {C::weight(p), size, entry.copies}, audience::root,
                [&](std::span<std::byte const> bytes) { own.update(bytes); });
        std::array<std::uint64_t, 4> const whole{own.value(), 0, 0, 0};
        sum.update(std::as_bytes(std::span(whole)));
    }
    return static_cast<std::int64_t>(sum.value());
}

/// The caller's words in a snapshot.
using notes_of_snapshot = std::vector<std::pair<std::string, std::string>>;

template <class C>
void save_snapshot(store<C> const& s, std::string const& path, notes_of_snapshot const& notes) {
    if (auto const found = first_not_finite_number(s); found.is_there())
        throw error({path, -1, place_of<C>(found).tensor}, text_of<C>(found),
                    "finite weights and states; the file is as it was");
    host_view<C> const here(s);
    std::int64_t base = 0;
    if constexpr (stands_on_a_base<C>) base = checksum_of_base(s);
    std::optional<io::snapshot_writer> file;
    work_of_root<C> writing(s);
    writing.part([&] {
        file.emplace(path);
        file->number("steps", s.done.steps);
        file->text("meaning", meaning_of<C>());
        if constexpr (stands_on_a_base<C>) file->number("base", base);
        if constexpr (scales_loss<typename C::precision>) {
            file->number("loss_scale.exponent", std::ilogb(s.done.scale.value));  // always a power of two
            file->number("loss_scale.good_steps", s.done.scale.good_steps);
        }
        if (notes.size() > static_cast<std::size_t>(most_notes))
            throw error({path}, std::to_string(notes.size()) + " notes",
                        "at most " + std::to_string(most_notes));
        file->number("notes", static_cast<std::int64_t>(notes.size()));
        for (std::size_t i = 0; i < notes.size(); ++i) {
            file->text(std::string(note_prefix) + std::to_string(i) + ".key", notes[i].first);
            file->text(std::string(note_prefix) + std::to_string(i) + ".value", notes[i].second);
        }
    });
    for_each_snapshot_tensor<C>([&](array_bytes const& array, io::tensor_shape const& shape) {
        writing.part([&] { file->begin_tensor(shape.name, shape.dtype, shape.dims, shape.bytes); });
        collect(s, here.view(), array, audience::root,
                [&](std::span<std::byte const> bytes) { writing.part([&] { file->append(bytes); }); });
        writing.part([&] { file->end_tensor(); });
    });
    writing.part([&] { file->commit(); });
    writing.finish("agreement on a snapshot");
}

/// What a snapshot says beside its tensors.
struct head_of_snapshot {
    std::int64_t steps = 0;
    notes_of_snapshot notes{};
    snug::loss_scale scale{};
};

/// Throws unless everything in the file can be taken; `base` is the checksum of the trainer's own, where it matters.
template <class C>
head_of_snapshot checked_snapshot(io::snapshot_reader const& file, std::int64_t const* base) {
    head_of_snapshot head;
    std::vector<io::tensor_shape> expected;
    for_each_snapshot_tensor<C>(
        [&](array_bytes const&, io::tensor_shape shape) { expected.push_back(std::move(shape)); });
    head.steps = file.number("steps", 0, most_steps);
    require_meaning<C>(file);
    file.require(expected);
    if constexpr (stands_on_a_base<C>)
        if (auto const theirs = file.number("base"); base != nullptr && theirs != *base)
            throw error({file.path()},
                        "a snapshot of an adapter on other base weights (their checksum differs)",
                        "the weights that it was trained on, loaded before it is resumed");
    auto const note_count = file.number("notes", 0, most_notes);
    for (std::int64_t i = 0; i < note_count; ++i) {
        auto const key = std::string(note_prefix) + std::to_string(i);
        head.notes.emplace_back(file.text(key + ".key"), file.text(key + ".value"));
    }
    if constexpr (scales_loss<typename C::precision>) {
        auto& scale = head.scale;
        scale.value =
            std::ldexp(1.0, static_cast<int>(file.number("loss_scale.exponent", scale.least_exponent,
                                                         scale.largest_exponent)));
        scale.good_steps = file.number("loss_scale.good_steps", 0, scale.steps_until_growth - 1);
    }
    for (int p = 0; p < C::parameters; ++p) {
        auto const& entry = C::entry(p);
        if (!entry.is_trained()) continue;
        std::string const name(entry.name.view());
        require_finite_in<typename C::updated, typename C::precision::weight>(file, name);
        meta::for_each<typename C::optimizer::states>([&]<class State>(State) {
            auto const of_state = name + "." + std::string(State::name.view());
            if constexpr (may_be_in_blocks<State>)
                if (is_in_blocks<State>(entry.count)) {
                    require_finite_scales<typename State::block>(file, of_state);
                    return;
                }
            require_finite_in<typename State::element>(file, of_state);
        });
    }
    return head;
}

template <class C>
notes_of_snapshot resume_snapshot(store<C>& s, std::string const& path) {
    std::int64_t base = 0;
    if constexpr (stands_on_a_base<C>) base = checksum_of_base(s);
    std::optional<io::snapshot_reader> file;
    head_of_snapshot head;
    together(s, "agreement on resuming", [&] {
        file.emplace(path);
        head = checked_snapshot<C>(*file, s.ranks.rank() == 0 ? &base : nullptr);
    });
    require_same(s, "another snapshot", [&] { return file->fingerprint(); });
    {
        host_view<C> const here(s);
        // From here on nothing can fail: every byte has been checked.
        for_each_snapshot_tensor<C>([&](array_bytes const& array, io::tensor_shape const& shape) {
            auto const bytes = file->tensor(shape.name).bytes;
            for_each_own_part(here.view(), array, [&](std::byte* to, index_t first, std::size_t size) {
                std::memcpy(to, bytes.data() + first, size);
            });
        });
        here.write_back();
    }
    for (int p = 0; p < C::parameters; ++p) refresh_weights(s, p);
    if constexpr (C::is_sharded) gather_weights(s);
    clear_gradients(s);
    refresh_derived(s);
    s.done.steps = head.steps;
    s.done.scale = head.scale;
    return std::move(head.notes);
}

}  // namespace snug::SNUG_TARGET::engine
