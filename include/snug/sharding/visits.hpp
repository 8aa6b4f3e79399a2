// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <snug/layers/recording.hpp>
#include <snug/sharding/units.hpp>

/// In which order a step visits the units of its model, and from when to when each needs the room in which its
/// weights are gathered and its gradients added.
namespace snug::SNUG_TARGET::sharding {

/// The unit of the parameters of a layer at its place; -1 when it has none of its own.
template <class Node, std::size_t N>
constexpr int unit_of_node(grouping<N> const& units) {
    constexpr auto count = static_cast<int>(meta::size<layer::parameters<typename Node::type>>);
    for (int p = Node::first_parameter; p < Node::first_parameter + count; ++p)
        if (units.members[static_cast<std::size_t>(p)].group >= 0)
            return units.units[static_cast<std::size_t>(p)];
    return -1;
}

/// What a call needs of a unit.
struct visit {
    int unit = -1;
    bool reads_weights = false;   ///< that are gathered before
    bool adds_gradients = false;  ///< backward, or the loss with its gradients
};

/// f(visit) for every unit that a call needs: its own and, of a tied head, that of the embedding.
template <class Call, std::size_t N, class F>
constexpr void for_each_visit_of(grouping<N> const& units, F const& f) {
    using L = typename Call::node::type;
    constexpr bool is_backward = Call::which == pass::backward;
    constexpr bool is_loss = requires { typename Call::tied; };
    auto const comes = [&](int unit, bool reads_weights, bool adds_gradients) {
        if (unit >= 0) f(visit{unit, reads_weights && !units.is_kept(unit), adds_gradients});
    };
    if constexpr (is_loss)
        if constexpr (L::tied) comes(unit_of_node<typename Call::tied>(units), true, true);
    comes(unit_of_node<typename Call::node>(units), !is_backward || layer::backward_reads_parameters<L>,
          is_backward || is_loss);
}

namespace detail {

/// Units one after the other, no two neighbours the same.
struct unit_list {
    static constexpr std::size_t capacity = 128;
    std::array<int, capacity> units{};
    std::size_t size = 0;

    constexpr void add(int unit) {
        if (size > 0 && units[size - 1] == unit) return;
        if (size == capacity) throw "snug: a model has more units than a list of visits holds";
        units[size++] = unit;
    }
    constexpr bool has(int unit, std::size_t first, std::size_t last) const {
        for (auto i = first; i < size && i <= last; ++i)
            if (units[i] == unit) return true;
        return false;
    }
};

/// Whose weights and whose gradients a walk needs in turn; the blocks of a loop count once.
template <std::size_t N>
struct visit_lists : in_order {
    grouping<N> const& units;
    unit_list read{}, added{};

    constexpr explicit visit_lists(grouping<N> const& of) : units(of) {}

    template <class Call>
    constexpr void leaf(Call const&) {
        for_each_visit_of<Call>(units, [&](visit next) {
            if (next.reads_weights) read.add(next.unit);
            if (next.adds_gradients) added.add(next.unit);
        });
    }
    template <class Body>
    constexpr void loop(index_t, Body const& body) const {
        body(index_t{0});
    }
};

/// Records a step with two more buffers for each unit: the room of its weights and that of its gradients.
template <class Model, std::size_t Units, std::size_t N>
struct room_recorder : recording_walker<static_cast<std::size_t>(Model::buffer_count) + 2 * Units> {
    using base = recording_walker<static_cast<std::size_t>(Model::buffer_count) + 2 * Units>;
    visit_lists<N> const& visits;
    std::size_t ahead;
    std::size_t reading = 0, adding = 0;  ///< one behind where the walk stands in the lists

    constexpr room_recorder(visit_lists<N> const& of, int prefetch)
        : visits(of), ahead(static_cast<std::size_t>(prefetch)) {}

    static constexpr int weights_of(int unit) { return Model::buffer_count + 2 * unit; }
    static constexpr int gradients_of(int unit) { return weights_of(unit) + 1; }

    template <class Call>
    constexpr void leaf(Call const& call) {
        base::leaf(call);
        for_each_visit_of<Call>(visits.units, [&](visit next) {
            if (next.reads_weights) read(next.unit);
            if (next.adds_gradients && (adding == 0 || visits.added.units[adding - 1] != next.unit)) ++adding;
            touch();
        });
        touch();
    }

  private:
    /// Room of a unit's weights is free when none of the units that come next is this one; that of repeated blocks
    /// is not, because backward begins with the block with which forward ended.
    constexpr void read(int unit) {
        auto const& list = visits.read;
        if (reading > 0 && list.units[reading - 1] == unit) return;
        ++reading;
        if (reading == 1) return;
        auto const before = list.units[reading - 2];
        if (!visits.units.is_repeated(before) && !list.has(before, reading - 1, reading - 1 + ahead))
            base::record.release(weights_of(before), weights_of(before) + 1);
    }
    /// The weights of the units that come next are on their way, and the gradients of the one before.
    constexpr void touch() {
        for (auto i = reading; i > 0 && i <= visits.read.size && i <= reading + ahead; ++i)
            base::record.also(weights_of(visits.read.units[i - 1]));
        for (auto i = adding; i > 0 && i + 2 > adding; --i)
            base::record.also(gradients_of(visits.added.units[i - 1]));
    }
};

}  // namespace detail

/// How often a micro-batch comes to add to the gradients of one copy of each unit: twice to an embedding whose table
/// the head shares, else once.
template <class Model, std::size_t Units, std::size_t N>
constexpr std::array<int, Units> gradient_visits(grouping<N> const& units) {
    detail::visit_lists<N> visits(units);
    Model::walk_training(visits);
    std::array<int, Units> result{};
    for (std::size_t i = 0; i < visits.added.size; ++i)
        ++result[static_cast<std::size_t>(visits.added.units[i])];
    return result;
}

/// When the room of a unit is in use.
struct unit_lifetimes {
    lifetime weights{};
    lifetime gradients{};
};

/// For every unit, in the positions of the model's own schedule.
template <class Model, std::size_t Units, std::size_t N>
constexpr std::array<unit_lifetimes, Units> lifetimes_of_units(grouping<N> const& units, int prefetch) {
    detail::visit_lists<N> visits(units);
    Model::walk_training(visits);
    detail::room_recorder<Model, Units, N> walker(visits, prefetch);
    Model::record(walker);
    auto const all = walker.record.finish();
    std::array<unit_lifetimes, Units> result{};
    for (std::size_t u = 0; u < Units; ++u)
        result[u] = {all[static_cast<std::size_t>(walker.weights_of(static_cast<int>(u)))],
                     all[static_cast<std::size_t>(walker.gradients_of(static_cast<int>(u)))]};
    return result;
}

/// A unit's weights, whole, where they are needed.
struct gathering {
    int unit = 0;
    index_t copy = 0;
    index_t slot = 0;      ///< the room they are in
    bool is_fresh = true;  ///< they are not there from the last time
};

/// The weights that a micro-batch needs, in the order in which it needs them.
template <std::size_t Capacity>
struct gathering_list {
    std::array<gathering, Capacity> all{};
    std::size_t size = 0;
    std::size_t forward = 0;     ///< so many for a forward pass
    std::size_t evaluation = 0;  ///< and the head
};

namespace detail {

/// Goes through all blocks.
template <std::size_t Units, std::size_t N, std::size_t Capacity>
struct gathering_walker : in_order {
    grouping<N> const& units;
    std::size_t ahead;
    gathering_list<Capacity> found{};
    std::array<index_t, Units> slots{};
    std::array<index_t, Units> here{};  ///< the copy that the room used last holds; -1: none

    constexpr gathering_walker(grouping<N> const& of, int prefetch)
        : units(of), ahead(static_cast<std::size_t>(prefetch)) {
        here.fill(-1);
    }

    template <class Call>
    constexpr void leaf(Call const&) {
        constexpr bool is_loss = requires { typename Call::tied; };
        if (is_loss) found.forward = found.size;
        for_each_visit_of<Call>(units, [&](visit next) {
            if (next.reads_weights) need(next.unit, units.is_repeated(next.unit) ? block() : 0);
        });
        if (is_loss) found.evaluation = found.size;
    }

    constexpr void need(int unit, index_t copy) {
        if (found.size > 0 && found.all[found.size - 1].unit == unit &&
            found.all[found.size - 1].copy == copy)
            return;
        if (found.size < Capacity) found.all[found.size] = {unit, copy, 0, true};
        ++found.size;
    }

    /// Rooms, once it is known who comes next.
    constexpr void place() {
        for (std::size_t i = 0; i < found.size; ++i) {
            auto& its = found.all[i];
            auto const u = static_cast<std::size_t>(its.unit);
            if (i > 0) {
                auto const before = found.all[i - 1].unit;
                bool stays = units.is_repeated(before);
                for (auto j = i; j < found.size && j <= i + ahead; ++j)
                    stays = stays || found.all[j].unit == before;
                if (!stays) here[static_cast<std::size_t>(before)] = -1;
            }
            its.is_fresh = here[u] != its.copy;
            if (its.is_fresh && units.is_repeated(its.unit))
                slots[u] = (slots[u] + 1) % units.rooms(its.unit, static_cast<index_t>(ahead));
            here[u] = its.copy;
            its.slot = slots[u];
        }
    }
};

}  // namespace detail

/// Made by walking over a micro-batch, all blocks of it.
template <class Model, std::size_t Units, std::size_t N>
constexpr auto gatherings(grouping<N> const& units, int prefetch) {
    // Each block at most thrice: forward, again, and backward; units beside the blocks are few.
    constexpr std::size_t capacity = 4096;
    detail::gathering_walker<Units, N, capacity> walker(units, prefetch);
    Model::walk_training(walker);
    if (walker.found.size > capacity) throw "snug: a step gathers more units than its list holds";
    walker.place();
    return walker.found;
}

}  // namespace snug::SNUG_TARGET::sharding
