// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <snug/engine/reduce.hpp>
#include <snug/engine/store.hpp>
#include <snug/engine/verdicts.hpp>
#include <span>

/// Arrays of parameters that ranks hold shares of, whole again in pieces: for files, which one rank writes, and for
/// the program, which asks on all of them.
namespace snug::SNUG_TARGET::engine {

/// The bytes of an array of a parameter, copy after copy.
struct array_bytes {
    region where{};
    index_t size = 0;  ///< of a copy
    index_t copies = 1;
    index_t share = where.share;  ///< of a copy of its group for each rank of a model; 0: every rank has all

    std::size_t total() const { return static_cast<std::size_t>(size * copies); }

    /// The share that this byte of a copy is in, and where what it has of the array begins and ends.
    int holder(index_t byte) const { return static_cast<int>((where.offset + byte) / share); }
    index_t begin_of(int shard) const {
        return share > 0 ? std::clamp(shard * share - where.offset, index_t{0}, size) : 0;
    }
    index_t end_of(int shard) const { return share > 0 ? begin_of(shard + 1) : size; }
};

/// Who gets what ranks hold shares of.
enum class audience { root, everybody };

/// f(bytes) with bytes [first, last) of a copy of an array in `memory`, the trainer's or a copy of it, in pieces and
/// in order, on rank 0 or on every rank. All ranks call it where they hold shares; f does not throw then. One piece
/// travels while f has another.
template <class C, class F>
void collect(store<C> const& s, memory_view<C> memory, array_bytes const& array, index_t copy, index_t first,
             index_t last, audience who, F const& f) {
    auto const here = [&](index_t begin, index_t end) {
        return std::span(memory.template at<std::byte const>(array.where, copy, begin),
                         static_cast<std::size_t>(end - begin));
    };
    int const rank = s.ranks.rank();
    bool const hears = who == audience::everybody || rank == 0;
    if (first == last) return;
    if constexpr (C::ranks > 1) {
        if (array.share > 0) {
            struct piece {
                index_t first, last;
                int holder;
            };
            auto& world = *s.ranks.world;
            auto const ranks = s.ranks.of_model();  // each replica for itself
            if (who == audience::root && ranks.first != 0) return;
            // What arrives in a step is not on its way now. A copy of a device's memory is the program's, and so is what comes
            // for it.
            bool const is_the_devices =
                C::talks_apart && memory.base(space::device_memory) == s.view().base(space::device_memory);
            auto const room = C::talks_apart && !is_the_devices ? C::staging.of_exchange
                              : C::stages_messages              ? C::staging.of_exchange / C::shards
                                                                : C::places.arrivals.stride;
            auto const arriving = [&](piece const& its, index_t slot) {
                auto* to = s.template at<std::byte>(C::places.arrivals, slot);
                if constexpr (C::talks_apart)
                    if (!is_the_devices) to = staging_of(s, s.ranks.exchange(slot));
                return as_bytes_of(to, its.last - its.first);
            };
            auto const begin = [&](piece const& its, index_t slot) {
                now_doing(s, "collecting");
                auto& transfer = s.ranks.exchange(slot);
                for (int i = 0; i < (who == audience::root ? 1 : ranks.count); ++i) {
                    int const to = ranks[i];
                    if (to == its.holder) continue;
                    auto const own = here(its.first, its.last);
                    if (is_the_devices) {
                        if (rank == its.holder) send(s, transfer, to, own);
                        if (rank == to) receive(s, transfer, its.holder, arriving(its, slot));
                    } else {
                        if (rank == its.holder) world.send(transfer.messages, to, own);
                        if (rank == to) world.receive(transfer.messages, its.holder, arriving(its, slot));
                    }
                }
                depart(s, transfer);
            };
            auto const finish = [&](piece const& its, index_t slot) {
                if (is_the_devices) wait(s, s.ranks.exchange(slot));
                else world.wait(s.ranks.exchange(slot).messages);
                if (!hears) return;
                f(rank == its.holder ? here(its.first, its.last)
                                     : std::span<std::byte const>(arriving(its, slot)));
            };
            auto const piece_from = [&](index_t begins) {
                auto const shard = array.holder(begins);
                return piece{begins, std::min({last, array.end_of(shard), begins + room}), ranks[shard]};
            };
            auto now = piece_from(first);
            index_t slot = 0;
            begin(now, slot);
            while (now.last < last) {
                auto const next = piece_from(now.last);
                begin(next, 1 - slot);
                finish(now, slot);
                now = next;
                slot = 1 - slot;
            }
            return finish(now, slot);
        }
    }
    if (hears) f(here(first, last));
}

/// The same with all bytes of the array.
template <class C, class F>
void collect(store<C> const& s, memory_view<C> memory, array_bytes const& array, audience who, F const& f) {
    for (index_t copy = 0; copy < array.copies; ++copy)
        collect(s, memory, array, copy, 0, array.size, who, f);
}

/// f(place, first, size) for what this rank holds of an array in `memory`: `size` bytes from `first` on of all copies.
template <class C, class F>
void for_each_own_part(memory_view<C> memory, array_bytes const& array, F const& f) {
    auto const shard = static_cast<int>(memory.shard());
    auto const first = array.begin_of(shard), last = array.end_of(shard);
    if (first < last)
        for (index_t copy = 0; copy < array.copies; ++copy)
            f(memory.template at<std::byte>(array.where, copy, first), copy * array.size + first,
              static_cast<std::size_t>(last - first));
}

}  // namespace snug::SNUG_TARGET::engine
