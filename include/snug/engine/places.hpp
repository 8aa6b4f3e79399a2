// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <snug/layers/tables.hpp>
#include <snug/memory/declaration.hpp>
#include <snug/optimizers/optimizer.hpp>
#include <snug/sharding/units.hpp>
#include <string_view>
#include <type_traits>

namespace snug::SNUG_TARGET::engine {

/// Which elements of a parameter a process updates, and how they lie.
struct ownership {
    bool in_group = false;  ///< a copy has other parameters beside it, so copies do not follow each other
    index_t position = 0;   ///< of the first element in the group
    index_t share = 0;      ///< elements of a copy of the group for each process; 0: every one updates all
};

/// Where the numbers of one parameter lie. What it does not have (a frozen parameter its gradient) lies
/// nowhere.
template <std::size_t States>
struct parameter_places {
    region weight{};
    region master{};
    region gradient{};
    std::array<region, States> states{};
    ownership owned{};
};

/// All elements of a parameter, or those that this process updates.
enum class part { whole, own };
constexpr part part_of(region where) { return where.share > 0 ? part::own : part::whole; }

/// f(first, count) for elements of all copies of a parameter, counted through, in stretches that lie one
/// after the other in every array of it.
template <class F>
constexpr void for_each_stretch(parameter_entry const& entry, ownership const& owned, part which, int shard,
                                F const& f) {
    if (!owned.in_group) return f(index_t{0}, entry.total());
    index_t first = 0, last = entry.count;
    if (which == part::own && owned.share > 0) {
        first = std::max(first, shard * owned.share - owned.position);
        last = std::min(last, (shard + 1) * owned.share - owned.position);
    }
    if (first < last)
        for (index_t copy = 0; copy < entry.copies; ++copy) f(copy * entry.count + first, last - first);
}

/// Where the numbers of a group lie.
template <std::size_t States>
struct group_places {
    region weight{};
    region master{};
    region gradient{};
    std::array<region, States> states{};
    region gathered{};       ///< all weights of a copy while its unit is worked on, where ranks hold a share
    region unit_gradient{};  ///< the gradients of a copy while its unit is worked on
};

/// How the program's memory is divided in which messages of a trainer on a device are staged, in bytes: two exchanges,
/// one for what is waited for at once, and the gatherings under way.
struct staging_rooms {
    index_t of_exchange = 0, of_talk = 0, of_gathering = 0;

    constexpr index_t exchange(int which) const { return which * of_exchange; }
    constexpr index_t talk() const { return 2 * of_exchange; }
    constexpr index_t gathering(int which) const { return talk() + of_talk + which * of_gathering; }
};

/// The places of all parameters of a composition, and what else it declares.
template <std::size_t Parameters, std::size_t States>
struct layout {
    std::array<parameter_places<States>, Parameters> parameters{};
    int first_buffer = 0;  ///< the declaration of the model's first buffer; the others follow
    region partial_sums{};
    region numbers{};
    region quantization_source{};
    region pages{};
    std::array<group_places<States>, Parameters> groups{};  ///< where parameters are sharded
    region arrivals{};                                      ///< of two buckets, from all other ranks
    region departures{};  ///< of two buckets, to all other ranks, where gradients travel in another format
    region verdicts{};    ///< what every rank has found in a step
    region staged{};      ///< messages of a device's memory on their way through the program's
    int declarations = 0;

    /// Everything is nowhere. Default member initializers alone do not reach programs always: g++ 12 leaves them out of
    /// some constants, which then hold zeros (tests/host/compiler/constants.cpp).
    constexpr void clear() {
        for (auto& its : parameters) its = {};
        for (auto& its : groups) its = {};
        for (auto* its : {&partial_sums, &numbers, &quantization_source, &pages, &arrivals, &departures,
                          &verdicts, &staged})
            *its = {};
    }
};

/// A state of an optimizer for every element of a parameter: its declaration.
template <class State>
constexpr declaration declare_state(parameter_entry const& entry, space where) {
    auto const name = entry.name / State::name.view();
    if constexpr (may_be_in_blocks<State>)
        if (is_in_blocks<State>(entry.count)) {
            using block = typename State::block;
            return declare<block>(name, optimizers::units_for<block>(entry.count), entry.copies,
                                  role::optimizer_state, lifetime::always(), where);
        }
    return declare<typename State::element>(name, entry.count, entry.copies, role::optimizer_state,
                                            lifetime::always(), where);
}

/// Declares, through add(declaration), which gives the region that it became, what every parameter has: all
/// weights first, then master copies, gradients and states, so that each lies beside its like.
template <class Precision, class Optimizer, std::size_t N, std::size_t States, class Add>
constexpr void place_parameters(std::array<parameter_entry, N> const& entries,
                                std::array<parameter_places<States>, N>& places, Add const& add) {
    auto const as = []<class T>(std::type_identity<T>, parameter_entry const& entry, role line,
                                std::string_view suffix) {
        return declare<T>(entry.name / suffix, entry.count, entry.copies, line);
    };
    using weight = std::type_identity<typename Precision::weight>;
    using statistic = std::type_identity<typename Precision::statistic>;
    for (std::size_t p = 0; p < N; ++p) {
        auto const& entry = entries[p];
        places[p].weight = add(entry.is_quantized() ? declare<std::byte>(entry.name, entry.stored_bytes,
                                                                         entry.copies, role::weight)
                               : entry.is_derived() ? as(statistic{}, entry, role::weight, "")
                                                    : as(weight{}, entry, role::weight, ""));
    }
    if constexpr (!std::is_void_v<typename Precision::master>)
        for (std::size_t p = 0; p < N; ++p)
            if (entries[p].is_trained())
                places[p].master = add(as(std::type_identity<typename Precision::master>{}, entries[p],
                                          role::master_weight, "master"));
    for (std::size_t p = 0; p < N; ++p)
        if (entries[p].is_trained())
            places[p].gradient = add(as(std::type_identity<typename Precision::gradient>{}, entries[p],
                                        role::gradient, "gradient"));
    std::size_t which = 0;
    meta::for_each<typename Optimizer::states>([&]<class State>(State) {
        for (std::size_t p = 0; p < N; ++p)
            if (entries[p].is_trained())
                places[p].states[which] = add(declare_state<State>(
                    entries[p], pages_states<Optimizer> ? space::host_memory : space::device_memory));
        ++which;
    });
}

/// A part of a group's array: `position` units of `size` bytes from its beginning on.
constexpr region part_of_group(region whole, index_t position, index_t size) {
    if (whole.declaration >= 0) whole.offset += position * size;
    return whole;
}

/// The same for parameters in groups of which every rank owns a share.
template <class Precision, class Optimizer, class Sharding, std::size_t N, std::size_t States, class Add>
constexpr void place_groups(std::array<parameter_entry, N> const& entries,
                            sharding::grouping<N> const& grouping,
                            std::array<parameter_places<States>, N>& places,
                            std::array<group_places<States>, N>& of_groups, Add const& add) {
    using weight = typename Precision::weight;
    using statistic = typename Precision::statistic;
    using gradient = typename Precision::gradient;
    constexpr int stage = Sharding::stage;
    auto const share_of = [](sharding::group const& g) {
        return g.count / (Sharding::ranks / Sharding::replicas);
    };
    // `from`: the first stage in which a rank holds a share of the array only.
    auto const place = [&]<class T>(std::type_identity<T>, sharding::group const& g, std::string_view suffix,
                                    role line, int from, index_t per_unit = 1,
                                    space where = space::device_memory) {
        bool const shared = stage >= from;
        auto const count = (shared ? share_of(g) : g.count) / per_unit;
        auto result = add(declare<T>(g.name / suffix, count, g.copies, line, lifetime::always(), where));
        if (shared) result.share = result.stride;
        return result;
    };
    auto const all = [&](auto const& f) {
        for (std::size_t g = 0; g < grouping.size; ++g) f(grouping.groups[g], of_groups[g]);
    };
    auto const trained = [&](auto const& f) {
        all([&](sharding::group const& g, group_places<States>& at) {
            if (g.is_trained()) f(g, at);
        });
    };

    auto const of_weights = [](sharding::group const& g) { return g.is_kept ? stage + 1 : 3; };
    all([&](sharding::group const& g, group_places<States>& at) {
        at.weight = g.stored == sharding::storage::frozen_bytes
                        ? place(std::type_identity<std::byte>{}, g, "", role::weight, of_weights(g))
                        : place(std::type_identity<weight>{}, g, "", role::weight, of_weights(g));
    });
    for (std::size_t p = 0; p < N; ++p)
        if (entries[p].is_derived())
            places[p].weight =
                add(declare<statistic>(entries[p].name, entries[p].count, entries[p].copies, role::weight));
    if constexpr (!std::is_void_v<typename Precision::master>)
        trained([&](sharding::group const& g, group_places<States>& at) {
            at.master =
                place(std::type_identity<typename Precision::master>{}, g, "master", role::master_weight, 1);
        });
    trained([&](sharding::group const& g, group_places<States>& at) {
        at.gradient = place(std::type_identity<gradient>{}, g, "gradient", role::gradient, 2);
    });
    std::size_t which = 0;
    meta::for_each<typename Optimizer::states>([&]<class State>(State) {
        constexpr auto where = pages_states<Optimizer> ? space::host_memory : space::device_memory;
        trained([&](sharding::group const& g, group_places<States>& at) {
            if constexpr (may_be_in_blocks<State>)
                if (g.stored == sharding::storage::trained_in_blocks) {
                    using block = typename State::block;
                    constexpr auto elements = optimizers::elements_of_unit<block>;
                    static_assert(sharding::granule % elements == 0);
                    at.states[which] = place(std::type_identity<block>{}, g, State::name.view(),
                                             role::optimizer_state, 1, elements, where);
                    return;
                }
            at.states[which] = place(std::type_identity<typename State::element>{}, g, State::name.view(),
                                     role::optimizer_state, 1, 1, where);
        });
        ++which;
    });

    for (std::size_t p = 0; p < N; ++p) {
        auto const group = grouping.members[p].group;
        auto const position = grouping.members[p].position;
        if (group < 0) continue;
        auto const& g = grouping.groups[static_cast<std::size_t>(group)];
        auto const& at = of_groups[static_cast<std::size_t>(group)];
        auto& its = places[p];
        its.owned = {true, position, stage >= 1 ? share_of(g) : 0};
        its.weight = part_of_group(at.weight, position, entries[p].is_quantized() ? 1 : sizeof(weight));
        if constexpr (!std::is_void_v<typename Precision::master>)
            its.master = part_of_group(at.master, position, sizeof(typename Precision::master));
        its.gradient = part_of_group(at.gradient, position, sizeof(gradient));
        std::size_t s = 0;
        meta::for_each<typename Optimizer::states>([&]<class State>(State) {
            its.states[s] = part_of_group(at.states[s], position, sizeof(typename State::element));
            if constexpr (may_be_in_blocks<State>)
                if (g.stored == sharding::storage::trained_in_blocks) {
                    using block = typename State::block;
                    its.states[s] = part_of_group(
                        at.states[s], position / optimizers::elements_of_unit<block>, sizeof(block));
                }
            ++s;
        });
    }
}

}  // namespace snug::SNUG_TARGET::engine
