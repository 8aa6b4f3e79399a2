// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <snug/memory/budget.hpp>
#include <snug/sharding/units.hpp>

namespace snug::SNUG_TARGET {

/// What one rank sends to all others together in an optimizer step that updates the weights, all micro-batches of it.
/// Every rank sends, and receives, as much.
struct step_traffic {
    bytes gathered{};          ///< shares of weights, or of summed gradients, to those that lack them
    bytes exchanged{};         ///< gradients to the ranks that add them up
    bytes agreed{};            ///< whether all can go on; losses and norms
    bytes sent_per_step{};     ///< all of it
    bytes between_replicas{};  ///< so much of it leaves the ranks that share a model
    index_t messages_per_step = 0;
};

namespace sharding {

/// Counts what engine/{accumulate,update,reduce,units,verdicts}.hpp send, by the constants by which they send it.
template <class C>
constexpr step_traffic traffic_of() {
    step_traffic sent;
    if constexpr (C::ranks > 1) {
        constexpr index_t everybody = C::ranks - 1, of_model = C::shards - 1, of_share = C::replicas - 1;
        constexpr int stage = C::sharding::stage;
        constexpr index_t weight = sizeof(typename C::precision::weight);
        constexpr index_t gradient = sizeof(typename C::precision::gradient);
        constexpr index_t wire = sizeof(typename C::wire);
        auto const send = [&](bytes step_traffic::*line, index_t others, index_t size, index_t times,
                              index_t pieces = 1) {
            bytes const all{others * size * times};
            sent.*line += all;
            sent.sent_per_step += all;
            sent.messages_per_step += others * times * pieces;
        };
        auto const gather = [&](group const& g, index_t element, index_t times) {
            send(&step_traffic::gathered, of_model, g.count / C::shards * element, times);
        };

        send(&step_traffic::agreed, everybody, C::statement_size, 1);
        // What the update of another's share has made no rank knows.
        send(&step_traffic::agreed, everybody, C::outcome_size, C::updates_share ? 1 : 0);
        send(&step_traffic::agreed, everybody, C::verdict_size, 1);
        for (std::size_t i = 0; i < C::groups.size; ++i) {
            auto const& g = C::groups.groups[i];
            if (!g.is_trained()) continue;
            bool const is_visited = C::gradient_visits[static_cast<std::size_t>(g.unit)] > 0;
            index_t const exchanges = C::reduces_each_micro_batch ? (is_visited ? C::micro_batches : 0) : 1;
            auto const exchange = [&](index_t others, index_t part, index_t piece, index_t times) {
                send(&step_traffic::exchanged, others, part * wire, times, (part + piece - 1) / piece);
            };
            exchange(of_model, g.count / C::shards, C::shard_piece, g.copies * exchanges);
            if constexpr (C::replicas > 1) {
                auto const part = g.count / C::ranks;
                auto const before = sent.sent_per_step;
                exchange(of_share, part, C::replica_piece, g.copies);
                send(&step_traffic::gathered, of_share, part * gradient, g.copies);
                sent.between_replicas += sent.sent_per_step - before;
            }
            if (stage == 0) gather(g, gradient, g.copies);
            if (stage == 1 || stage == 2 || g.is_kept) gather(g, weight, g.copies);
        }
        if constexpr (C::gathers_weights)
            for (std::size_t at = 0; at < C::gatherings.size; ++at) {
                auto const& one = C::gatherings.all[at];
                if (!one.is_fresh) continue;
                // Parameters that are derived are so again after the update, by a forward walk.
                index_t const walks =
                    C::micro_batches + (C::has_derived && at < C::gatherings.forward ? 1 : 0);
                for (std::size_t i = 0; i < C::groups.size; ++i)
                    if (auto const& g = C::groups.groups[i]; g.unit == one.unit)
                        gather(g, g.stored == storage::frozen_bytes ? 1 : weight, walks);
            }
    }
    return sent;
}

}  // namespace sharding

/// Bytes and messages that one rank of T sends in a step, a constant; nothing where one process trains alone.
///
///     static_assert(snug::traffic<pretraining>.sent_per_step < 2_GiB);
template <class T>
inline constexpr step_traffic traffic = [] {
    if constexpr (any_trainer<T>) {
        return detail::trainer_of<T>::composition::traffic;
    } else {
        (void)sizeof(detail::trainer_of<T>);  // refuses it
        return step_traffic{};
    }
}();

}  // namespace snug::SNUG_TARGET
