// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <snug/engine/messages.hpp>
#include <snug/engine/store.hpp>
#include <snug/kernels/elements.hpp>
#include <snug/kernels/fold.hpp>
#include <snug/ops/for_each_element.hpp>
#include <snug/ops/for_each_row.hpp>
#include <span>

/// Arrays of groups over all ranks: shares are sent to their owners and added there, and gathered again. Ranks
/// send bytes to each other pairwise; every addition is made here, in the order of ranks.
namespace snug::SNUG_TARGET::engine {

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

/// One copy of a group's gradients, or a share of it, on its way into sums: begun, and later finished.
template <class C>
struct exchange {
    using gradient = typename C::precision::gradient;

    std::size_t group = 0;
    index_t copy = 0;
    distributed::group among{};  ///< the ranks that add, each its part
    int own = 0;                 ///< which of the parts is this rank's
    index_t part = 0;            ///< elements of each
    index_t piece = 0;           ///< elements of a part that travel at once
    gradient* all = nullptr;     ///< of this rank, for every part
    gradient* sum = nullptr;     ///< of its own part, over the ranks
    bool onto = false;           ///< added to what is there

    index_t pieces() const { return part > 0 ? (part + piece - 1) / piece : 0; }
};

/// Between the ranks that have shares of one model.
template <class C>
exchange<C> exchange_of_shares(store<C> const& s, std::size_t group, index_t copy,
                               typename C::precision::gradient* all) {
    auto const share = C::groups.groups[group].count / C::shards;
    auto const own = s.ranks.shard();
    return {group, copy, s.ranks.of_model(), own, share, C::shard_piece, all, all + own * share, false};
}
/// Between the ranks that hold the same share, each of which adds a part of it.
template <class C>
exchange<C> exchange_of_replicas(store<C> const& s, std::size_t group, index_t copy,
                                 typename C::precision::gradient* share) {
    auto const part = C::groups.groups[group].count / C::ranks;
    auto const own = s.ranks.rank() / C::shards;
    return {group, copy, s.ranks.of_share(), own, part, C::replica_piece, share, share + own * part, false};
}

/// Where the gradients of this rank's share of a group's copy begin.
template <class C>
typename C::precision::gradient* share_of_gradients(store<C> const& s, std::size_t group, index_t copy) {
    auto where = C::places.groups[group].gradient;
    bool const holds_all = where.share == 0;
    where.share = 0;
    auto* const first = s.template at<typename C::precision::gradient>(where, copy);
    return holds_all ? first + s.ranks.shard() * (C::groups.groups[group].count / C::shards) : first;
}

/// The messages of one piece of every part.
template <class C>
void begin_piece(store<C> const& s, exchange<C> const& of, index_t piece) {
    using gradient = typename C::precision::gradient;
    using wire = typename C::wire;
    auto const slot = piece % 2;
    auto& transfer = s.ranks.exchange(slot);
    auto const first = piece * of.piece;
    auto const length = std::min(of.piece, of.part - first);
    int const count = of.among.count;
    now_doing(s, "exchange", of.group, of.copy);
    // In a room for pieces of the others.
    auto const piece_of = [&](region room, int other) {
        return s.template at<wire>(room, slot) + (other < of.own ? other : other - 1) * of.piece;
    };
    for (int d = 1; d < count; ++d) {
        int const from = (of.own + count - d) % count, to = (of.own + d) % count;
        receive(s, transfer, of.among[from], as_bytes_of(piece_of(C::places.arrivals, from), length));
        auto const* const part = static_cast<gradient const*>(of.all + to * of.part + first);
        if constexpr (std::is_same_v<wire, gradient>) {
            send(s, transfer, of.among[to], as_bytes_of(part, length));
        } else {
            auto* const departing = piece_of(C::places.departures, to);
            ops::for_each_element(s.on(), length, ops::bound<kernels::convert>(part, departing));
            send(s, transfer, of.among[to], as_bytes_of(departing, length));
        }
    }
    depart(s, transfer);
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
    using wire = typename C::wire;
    constexpr index_t length = 4096;
    for (index_t piece = 0; piece < of.pieces(); ++piece) {
        if (piece + 1 < of.pieces()) begin_piece(s, of, piece + 1);
        now_doing(s, "exchange", of.group, of.copy);
        auto const slot = piece % 2;
        wait(s, s.ranks.exchange(slot));
        auto const first = piece * of.piece;
        auto const count = std::min(of.piece, of.part - first);
        auto const fold = [&]<bool Onto>(std::bool_constant<Onto>) {
            ops::for_each_row<length>(
                s.on(), (count + length - 1) / length,
                ops::bound<kernels::fold_ranks<sum, Onto, length>>(
                    count, of.among.count, of.own,
                    static_cast<gradient const*>(of.all + of.own * of.part + first),
                    static_cast<wire const*>(s.template at<wire>(C::places.arrivals, slot)), of.piece,
                    of.sum + first));
        };
        if (of.onto) fold(std::true_type{});
        else fold(std::false_type{});
    }
}

/// f(group, its places) for every group whose parameters train.
template <class C, class F>
constexpr void for_each_trained_group(F const& f) {
    for (std::size_t g = 0; g < C::groups.size; ++g)
        if (C::groups.groups[g].is_trained()) f(g, C::places.groups[g]);
}

/// Every one of these ranks has its own part of `all`; afterwards all of it.
template <class T, class C>
void gather_parts(store<C> const& s, std::size_t group, index_t copy, distributed::group ranks, T* all,
                  index_t count, std::string_view what) {
    now_doing(s, what, group, copy);
    all_gather(s, s.ranks.talk(), ranks, as_bytes_of(all, count));
    wait(s, s.ranks.talk());
}
/// Every rank has its own share of an array that all have whole; afterwards all of it.
template <class T, class C>
void gather_shares(store<C> const& s, std::size_t group, region where, std::string_view what) {
    auto const& g = C::groups.groups[group];
    for (index_t copy = 0; copy < g.copies; ++copy)
        gather_parts(s, group, copy, s.ranks.of_model(), s.template at<T>(where, copy), g.count, what);
}

/// Whether a step has gradients left to add, or to give back, when its passes are over.
template <class C>
inline constexpr bool adds_at_the_end =
    !C::reduces_each_micro_batch || C::replicas > 1 || C::sharding::stage == 0;

/// What was accumulated becomes the sum over all ranks: of a rank's share or, where it updates all weights, of all of
/// them. First over the ranks of a model, unless they have added already, then over its replicas. The gradients of
/// other shares are zero afterwards.
template <class C>
void reduce_gradients(store<C> const& s) {
    using gradient = typename C::precision::gradient;
    auto const both = [&](exchange<C> const& of) {
        begin_exchange(s, of);
        finish_exchange(s, of);
    };
    for_each_trained_group<C>([&](std::size_t g, auto const& at) {
        auto const& group = C::groups.groups[g];
        if constexpr (!C::reduces_each_micro_batch)
            for (index_t copy = 0; copy < group.copies; ++copy) {
                auto* const all = s.template at<gradient>(at.gradient, copy);
                auto const of = exchange_of_shares(s, g, copy, all);
                both(of);
                if constexpr (C::sharding::stage == 0) continue;
                auto const zero = [&](index_t first, index_t count) {
                    ops::for_each_element(s.on(), count, ops::bound<kernels::set_to_zero>(all + first));
                };
                zero(0, of.own * of.part);
                zero((of.own + 1) * of.part, (C::shards - 1 - of.own) * of.part);
            }
        if constexpr (C::replicas > 1)
            for (index_t copy = 0; copy < group.copies; ++copy) {
                auto* const share = share_of_gradients(s, g, copy);
                both(exchange_of_replicas(s, g, copy, share));
                gather_parts(s, g, copy, s.ranks.of_share(), share, group.count / C::shards,
                             "gather of gradients");
            }
        if constexpr (C::sharding::stage == 0)
            gather_shares<gradient>(s, g, at.gradient, "gather of gradients");
    });
}

/// Whether weights that are whole on every rank are updated in shares.
template <class C>
inline constexpr bool gathers_after_update = [] {
    bool result = false;
    for_each_trained_group<C>([&](std::size_t g, auto const&) {
        result = result || (C::updates_share && (!C::gathers_weights || C::groups.groups[g].is_kept));
    });
    return result;
}();

/// After an update of shares: every rank has all weights again that are whole on each.
template <class C>
void gather_weights(store<C> const& s) {
    if constexpr (C::updates_share)
        for_each_trained_group<C>([&](std::size_t g, auto const& at) {
            if (C::gathers_weights && !C::groups.groups[g].is_kept) return;
            gather_shares<typename C::precision::weight>(s, g, at.weight, "gather of weights");
        });
}

}  // namespace snug::SNUG_TARGET::engine
