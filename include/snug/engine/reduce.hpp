// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <snug/engine/store.hpp>
#include <snug/kernels/elements.hpp>
#include <snug/kernels/fold.hpp>
#include <snug/ops/for_each_element.hpp>
#include <snug/ops/for_each_row.hpp>
#include <span>

/// Arrays of groups over all ranks: shares are sent to their owners and added there, and gathered again. Ranks
/// send bytes to each other pairwise; every addition is made here, in the order of ranks.
namespace snug::SNUG_TARGET::engine {

template <class T>
std::span<std::byte> as_bytes_of(T* first, index_t count) {
    return {reinterpret_cast<std::byte*>(first), static_cast<std::size_t>(count) * sizeof(T)};
}

/// What a deadline says about the messages that follow; without a group, of no part of the model.
template <class C>
void now_doing(store<C> const& s, std::string_view operation, std::size_t group = C::groups.size,
               index_t copy = -1) {
    distributed::activity doing{s.done.steps + 1, operation};
    if (group < C::groups.size) {
        auto const& g = C::groups.groups[group];
        doing.of = g.name.view();
        if (g.copies > 1) doing.block = copy;
    }
    s.ranks.world->doing = doing;
}

/// One copy of a group's gradients on its way into a share: begun, and later finished.
template <class C>
struct exchange {
    using gradient = typename C::precision::gradient;

    std::size_t group = 0;
    index_t copy = 0;
    gradient* all = nullptr;  ///< of this rank, for every share
    gradient* sum = nullptr;  ///< of this rank's share, over all ranks
    bool onto = false;        ///< added to what is there

    index_t share() const { return C::groups.groups[group].count / C::ranks; }
    index_t pieces() const { return C::pieces_of(C::groups.groups[group]); }
};

/// The messages of one piece of every share.
template <class C>
void begin_piece(store<C> const& s, exchange<C> const& of, index_t piece) {
    using gradient = typename C::precision::gradient;
    auto* const world = s.ranks.world;
    int const rank = world->rank();
    auto const slot = piece % 2;
    auto& transfer = s.ranks.exchange(slot);
    auto* const arrivals = s.template at<gradient>(C::places.arrivals, slot);
    auto const first = piece * C::piece_elements;
    auto const length = std::min(C::piece_elements, of.share() - first);
    now_doing(s, "exchange", of.group, of.copy);
    for (int d = 1; d < C::ranks; ++d) {
        int const from = (rank + C::ranks - d) % C::ranks, to = (rank + d) % C::ranks;
        world->receive(transfer, from,
                       as_bytes_of(arrivals + (from < rank ? from : from - 1) * C::piece_elements, length));
        world->send(transfer, to, as_bytes_of(of.all + to * of.share() + first, length));
    }
}

/// Puts the first messages under way.
template <class C>
void begin_exchange(store<C> const& s, exchange<C> const& of) {
    if (of.pieces() > 0) begin_piece(s, of, 0);
}

/// The rest of the messages, and the additions: while one piece is added the next travels.
template <class C>
void finish_exchange(store<C> const& s, exchange<C> const& of) {
    using gradient = typename C::precision::gradient;
    using sum = typename C::precision::statistic;
    constexpr index_t length = 4096;
    int const rank = s.ranks.rank();
    for (index_t piece = 0; piece < of.pieces(); ++piece) {
        if (piece + 1 < of.pieces()) begin_piece(s, of, piece + 1);
        now_doing(s, "exchange", of.group, of.copy);
        auto const slot = piece % 2;
        s.ranks.world->wait(s.ranks.exchange(slot));
        auto const first = piece * C::piece_elements;
        auto const count = std::min(C::piece_elements, of.share() - first);
        auto const fold = [&]<bool Onto>(std::bool_constant<Onto>) {
            ops::for_each_row<length>(
                s.on(), (count + length - 1) / length,
                ops::bound<kernels::fold_ranks<sum, Onto, length>>(
                    count, C::ranks, rank, static_cast<gradient const*>(of.all + rank * of.share() + first),
                    static_cast<gradient const*>(s.template at<gradient>(C::places.arrivals, slot)),
                    C::piece_elements, of.sum + first));
        };
        if (of.onto) fold(std::true_type{});
        else fold(std::false_type{});
    }
}

/// f(group, its places) for every group whose parameters train.
template <class C, class F>
void for_each_trained_group(F const& f) {
    for (std::size_t g = 0; g < C::groups.size; ++g)
        if (C::groups.groups[g].is_trained()) f(g, C::places.groups[g]);
}

/// Every rank has its own share of an array that all have whole; afterwards all of it.
template <class T, class C>
void gather_shares(store<C> const& s, std::size_t group, region where, std::string_view what) {
    auto const& g = C::groups.groups[group];
    for (index_t copy = 0; copy < g.copies; ++copy) {
        now_doing(s, what, group, copy);
        distributed::all_gather(*s.ranks.world, s.ranks.talk(),
                                as_bytes_of(s.template at<T>(where, copy), g.count));
        s.ranks.world->wait(s.ranks.talk());
    }
}

/// What was accumulated on this rank alone becomes the sum over all ranks: of its share or, where a rank updates
/// all weights, of all of them. The gradients of other shares are zero afterwards.
template <class C>
void reduce_gradients(store<C> const& s) {
    using gradient = typename C::precision::gradient;
    auto const rank = static_cast<index_t>(s.ranks.rank());
    for_each_trained_group<C>([&](std::size_t g, auto const& at) {
        if constexpr (!C::reduces_each_micro_batch)
            for (index_t copy = 0; copy < C::groups.groups[g].copies; ++copy) {
                auto* const all = s.template at<gradient>(at.gradient, copy);
                exchange<C> of{g, copy, all, nullptr, false};
                of.sum = all + rank * of.share();
                begin_exchange(s, of);
                finish_exchange(s, of);
                if constexpr (C::sharding::stage == 0) continue;
                auto const zero = [&](index_t first, index_t count) {
                    ops::for_each_element(s.on(), count, ops::bound<kernels::set_to_zero>(all + first));
                };
                zero(0, rank * of.share());
                zero((rank + 1) * of.share(), (C::ranks - 1 - rank) * of.share());
            }
        if constexpr (C::sharding::stage == 0)
            gather_shares<gradient>(s, g, at.gradient, "gather of gradients");
    });
}

/// After an update of shares: every rank has all weights again.
template <class C>
void gather_weights(store<C> const& s) {
    if constexpr (C::sharding::stage == 1 || C::sharding::stage == 2)
        for_each_trained_group<C>([&](std::size_t g, auto const& at) {
            gather_shares<typename C::precision::weight>(s, g, at.weight, "gather of weights");
        });
}

}  // namespace snug::SNUG_TARGET::engine
