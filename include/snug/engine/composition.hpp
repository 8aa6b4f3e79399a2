// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <limits>
#include <snug/adapters/adapter.hpp>
#include <snug/checkpointing/rewrite.hpp>
#include <snug/checkpointing/values.hpp>
#include <snug/distributed/agree.hpp>
#include <snug/distributed/names.hpp>
#include <snug/engine/places.hpp>
#include <snug/kernels/exact_sum.hpp>
#include <snug/layers/layer.hpp>
#include <snug/memory/plan.hpp>
#include <snug/ops/add_sum.hpp>
#include <snug/optimizers/optimizer.hpp>
#include <snug/sharding/none.hpp>
#include <snug/sharding/traffic.hpp>
#include <snug/sharding/visits.hpp>

namespace snug::SNUG_TARGET {

namespace refusal {

template <class Model, index_t LongestSequence, index_t TokensOfTheBatch>
struct the_sequences_of_the_batch_are_longer_than_the_model_allows {
    static constexpr bool holds = LongestSequence == 0 || TokensOfTheBatch <= LongestSequence;
    static_assert(
        holds,
        "snug: the batch's sequences are longer than the model's context (see LongestSequence and "
        "TokensOfTheBatch). Use snug::batch<more sequences, fewer tokens>, or a model with a larger "
        "context");
};

template <class Checkpointing, bool Holds>
struct a_device_copies_from_memory_and_no_file {
    static_assert(
        Holds,
        "snug: checkpointing::offloaded_to<file<...>> is for trainers on the host (see Checkpointing): "
        "a device copies from pinned memory. Use checkpointing::offloaded<...>");
};

template <class Sharding, index_t BytesOfTheBucket, index_t SmallestBucket>
struct the_bucket_of_a_sharding_is_too_small {
    static constexpr bool holds = BytesOfTheBucket >= SmallestBucket;
    static_assert(holds,
                  "snug: a bucket holds 256 gradients from each rank, at least (see BytesOfTheBucket and "
                  "SmallestBucket). Use a larger sharding::bucket<...>");
};

template <class Gradient, class Wire>
struct gradients_in_fp32_travel_in_bf16 {
    static_assert(
        std::is_void_v<Wire> || (std::is_same_v<Wire, bf16> && std::is_same_v<Gradient, fp32>),
        "snug: sharding::wire<bf16> is for gradients in fp32 (see Gradient and Wire); others travel as "
        "they are");
};

template <class World, class Backend>
struct nccl_moves_the_memory_of_devices {
    static constexpr bool holds = !moves_device_memory<World> || runs_ahead<Backend>;
    static_assert(
        holds,
        "snug: over<distributed::nccl> moves the memory of devices, and this trainer runs where its "
        "memory is the program's (see Backend). Use on<cuda>, or over<distributed::mpi>");
};

template <class Sharding, bool Holds>
struct prefetch_needs_a_room {
    static_assert(
        Holds,
        "snug: prefetch<N> of zero<3> (see Sharding) gathers the N blocks after the one that is worked "
        "on: N is at least 0 and less than the number of blocks");
};

}  // namespace refusal

namespace detail {

/// The format in which gradients travel: their own, unless a sharding names another.
template <class Sharding>
inline constexpr bool names_a_wire = [] {
    if constexpr (requires { typename Sharding::wire; }) return !std::is_void_v<typename Sharding::wire>;
    else return false;
}();
template <class Sharding, class Gradient>
struct wire_of {
    using type = Gradient;
};
template <class Sharding, class Gradient>
    requires(names_a_wire<Sharding>)
struct wire_of<Sharding, Gradient> {
    using type = typename Sharding::wire;
};

/// What a sharding receives at once, in bytes, and the least that it can.
template <class Sharding>
constexpr index_t bucket_of() {
    if constexpr (requires { Sharding::bucket; }) return Sharding::bucket.count;
    else return 0;
}
template <class Sharding, class Gradient>
constexpr index_t smallest_bucket_of() {
    if constexpr (requires { Sharding::bucket; })
        return std::max(Sharding::ranks / Sharding::replicas, Sharding::replicas) * sharding::granule *
               index_t{sizeof(typename wire_of<Sharding, Gradient>::type)};
    else return 0;
}

/// Activations of all blocks of every `repeat` are kept: generation can go on from the keys and values of earlier
/// tokens.
template <class Model>
inline constexpr bool keeps_all_activations_of =
    layer::keeps_all_blocks<typename Model::body>() && Model::all_blocks_have_a_backward;

/// The buffers of a micro-batch, with their lifetimes.
template <class Model, class Setting>
constexpr auto buffers_of() {
    constexpr bool keeps_all = keeps_all_activations_of<Model>;
    auto all = Model::template declare_buffers<Setting>().entries;
    auto const lifetimes = Model::lifetimes();
    std::array<bool, all.size()> is_left_behind{};
    if constexpr (keeps_all) mark_left_behind<typename Model::nodes::body>(is_left_behind);
    for (std::size_t b = 0; b < all.size(); ++b) {
        all[b].alive = lifetimes[b];
        // Kept from one forward pass of a generated token to the next.
        if (keeps_all && all[b].line == role::activation && !is_left_behind[b])
            for (auto& span : all[b].alive.intervals) span.first = 0;
    }
    return all;
}

}  // namespace detail

/// The numbers of a step that lie where it runs: what is known when it begins, and what it finds.
struct step_numbers {
    double loss = 0;              ///< sum over the counted tokens
    double loss_scale = 0;        ///< of the gradients: 1 / counted tokens, times the precision's
    double gradient_squares = 0;  ///< sum over all gradients, still under the precision's scale
    double gradient_scale = 0;    ///< what an update multiplies gradients with; NaN when nothing is to change
    double not_finite = 0;        ///< 1 when the update stored a number that is not finite
    std::uint64_t dropout_key = 0;  ///< of step and micro-batch
};

/// One policy for every axis, applied in order: adapters and quantization rewrite the model, the model
/// declares parameters and buffers, precision and batch give them types and sizes, checkpointing decides what
/// is kept and when each buffer lives, the optimizer adds its states; then everything is laid out. Constants
/// only.
template <class Chosen>
struct composition {
    using chosen = Chosen;
    using adapters = typename Chosen::adapters;
    using quantization = typename Chosen::quantization;
    using checkpointing = typename Chosen::checkpointing;
    using model = typename checkpointed_model<
        typename adapted_model<typename Chosen::model, quantization, adapters>::type, checkpointing>::type;
    using precision = typename Chosen::precision;
    using batch = typename Chosen::batch;
    using optimizer = typename Chosen::optimizer;
    using sharding = typename Chosen::sharding;
    using world = typename Chosen::transport::world;
    using backend = typename Chosen::where::backend;
    using setting = snug::setting<batch::sequences, batch::tokens, precision, backend>;

    static constexpr index_t micro_batches = Chosen::accumulation::count;
    static constexpr bool has_master = !std::is_void_v<typename precision::master>;
    /// Activations of all blocks of every `repeat` are kept: generation can go on from the keys and values of
    /// earlier tokens.
    static constexpr bool keeps_all_activations = detail::keeps_all_activations_of<model>;
    static constexpr int state_count = static_cast<int>(meta::size<typename optimizer::states>);
    /// What the optimizer updates: the master copy where there is one.
    using updated = std::conditional_t<has_master, typename precision::master, typename precision::weight>;

    static constexpr int parameters = model::parameter_count;
    static constexpr bool has_pages = pages_states<optimizer>;

    static constexpr auto parameter_table = model::declare_parameters();
    static constexpr parameter_entry const& entry(int parameter) {
        return parameter_table.entries[static_cast<std::size_t>(parameter)];
    }
    static constexpr bool has_derived = [] {
        for (auto const& entry : parameter_table.entries)
            if (entry.is_derived()) return true;
        return false;
    }();

    static constexpr bool is_sharded = !std::is_same_v<sharding, snug::sharding::none>;
    static constexpr int ranks = sharding::ranks;
    /// So many times the model is there: once in every `shards` ranks after each other.
    static constexpr int replicas = [] {
        if constexpr (is_sharded) return int(sharding::replicas);
        else return 1;
    }();
    static constexpr int shards = ranks / replicas;
    /// The trainer's memory is a device's, so messages of the program's have room of their own.
    static constexpr bool talks_apart = is_sharded && runs_ahead<backend>;
    /// The world moves the program's memory only.
    static constexpr bool stages_messages = talks_apart && !moves_device_memory<world>;
    /// It moves the trainer's memory where it is.
    static constexpr bool sends_device_memory = talks_apart && moves_device_memory<world>;
    /// In which gradients travel between ranks.
    using wire = typename detail::wire_of<sharding, typename precision::gradient>::type;
    /// Gradients of a unit are added to those of other ranks when backward leaves it; until then they are in
    /// room of their own.
    static constexpr bool reduces_each_micro_batch = [] {
        if constexpr (is_sharded) return bool(sharding::reduces_each_micro_batch);
        else return false;
    }();
    /// A rank holds a share of the weights, and gathers those of a unit when the unit is worked on.
    static constexpr bool gathers_weights = [] {
        if constexpr (is_sharded) return sharding::stage == 3;
        else return false;
    }();
    /// A rank updates a share of what trains.
    static constexpr bool updates_share = [] {
        if constexpr (is_sharded) return sharding::stage >= 1;
        else return false;
    }();
    /// The groups in which parameters lie and travel when they are sharded.
    static constexpr auto groups = [] {
        if constexpr (is_sharded) {
            auto result = snug::sharding::group_parameters(
                parameter_table.entries, model::layers_of_parameters(), ranks, [](auto const& entry) {
                    bool in_blocks = false;
                    meta::for_each<typename optimizer::states>([&]<class State>(State) {
                        if constexpr (may_be_in_blocks<State>)
                            in_blocks = in_blocks || is_in_blocks<State>(entry.count);
                    });
                    return in_blocks;
                });
            if constexpr (gathers_weights)
                result.keep_below(sharding::keep_below, sizeof(typename precision::weight));
            return result;
        } else {
            return snug::sharding::grouping<static_cast<std::size_t>(parameters)>{};
        }
    }();

    /// How often a micro-batch comes to each unit to add to its gradients.
    static constexpr auto gradient_visits = [] {
        if constexpr (is_sharded)
            return snug::sharding::gradient_visits<model, static_cast<std::size_t>(groups.unit_count)>(
                groups);
        else return std::array<int, 0>{};
    }();
    /// The weights that a micro-batch gathers.
    static constexpr auto gatherings = [] {
        if constexpr (gathers_weights)
            return snug::sharding::gatherings<model, static_cast<std::size_t>(groups.unit_count)>(
                groups, sharding::prefetch);
        else return snug::sharding::gathering_list<0>{};
    }();

    /// A position of the schedule behind all of a micro-batch's.
    static constexpr int after_training = std::numeric_limits<int>::max();

    /// The buffers of a micro-batch, with their lifetimes.
    static constexpr auto buffers = detail::buffers_of<model, setting>();

    /// Some of it waits in the host's memory for backward.
    static constexpr bool offloads = [] {
        for (auto const& buffer : buffers)
            if (buffer.where == space::host_memory) return true;
        return false;
    }();

    /// ... and there in a file.
    static constexpr bool offloads_to_a_file = detail::offloads_to_a_place<checkpointing>;
    static_assert(sizeof(refusal::a_device_copies_from_memory_and_no_file < checkpointing,
                         !offloads_to_a_file || !runs_ahead < backend >>) > 0);

    /// What blocks compute and backward reads, by name.
    static constexpr auto values = detail::values_in<model, setting>();
    /// Some of it is kept by name.
    static constexpr bool keeps_values_by_name = detail::keeps_some_by_name<checkpointing>;

    using layout_type =
        engine::layout<static_cast<std::size_t>(parameters), static_cast<std::size_t>(state_count)>;

    /// Everything that is declared, in order, through add(declaration), which gives the region that it
    /// became.
    template <class Add>
    static constexpr layout_type declare(Add const& add) {
        layout_type result;
        result.clear();
        if constexpr (is_sharded) declare_shares(result, add);
        else engine::place_parameters<precision, optimizer>(parameter_table.entries, result.parameters, add);
        for (std::size_t b = 0; b < buffers.size(); ++b) {
            auto const buffer = add(buffers[b]);
            if (b == 0) result.first_buffer = buffer.declaration;
        }
        result.partial_sums =
            add(snug::declare<double>(path{"partial_sums"}, ops::sum_partials, 1, role::workspace));
        result.numbers =
            add(snug::declare<std::byte>(path{"step_numbers"}, sizeof(step_numbers), 1, role::workspace));
        // Before the first step, while nothing else lives there: values on their way into a quantized matrix.
        index_t longest_quantized = 0;
        for (auto const& entry : parameter_table.entries)
            if (entry.is_quantized()) longest_quantized = std::max(longest_quantized, entry.count);
        lifetime before_training;
        before_training.add({-1, -1});
        if (longest_quantized > 0)
            result.quantization_source = add(snug::declare<float>(
                path{"quantization_source"}, longest_quantized, 1, role::staging, before_training));
        if constexpr (has_pages) {
            // After the last backward pass. Two pages of every state: one is updated while others travel.
            lifetime update;
            update.add({after_training, after_training});
            index_t element = 0;
            meta::for_each<typename optimizer::states>([&]<class State>(State) {
                element = std::max(element, static_cast<index_t>(sizeof(typename State::element)));
            });
            result.pages = add(snug::declare<std::byte>(path{"pages"}, page_elements * element,
                                                        2 * state_count, role::staging, update));
        }
        return result;
    }

    /// Bytes of what a rank tells the others in a step: the exact sum of its squares, then the loss of each
    /// micro-batch.
    static constexpr index_t verdict_size = round_up(
        static_cast<index_t>(sizeof(kernels::exact_sum)) + micro_batches * index_t{sizeof(double)}, 64);
    /// Bytes of what a rank states before a step.
    static constexpr index_t statement_size = sizeof(distributed::statement);
    /// Elements of a group that travel at once between two of `among` ranks, when each of them adds up one of `parts`
    /// of the group.
    static constexpr index_t piece_elements([[maybe_unused]] int among, [[maybe_unused]] int parts) {
        if constexpr (is_sharded) {
            index_t longest = 0;
            for (std::size_t g = 0; g < groups.size; ++g)
                if (groups.groups[g].is_trained())
                    longest = std::max(longest, groups.groups[g].count / parts);
            auto const size = among * index_t{sizeof(wire)};
            return std::min(
                longest, sharding::bucket.count / size / snug::sharding::granule * snug::sharding::granule);
        } else {
            return 0;
        }
    }
    /// Between ranks that have shares of one model, and between those that have copies of one share.
    static constexpr index_t shard_piece = piece_elements(shards, shards);
    static constexpr index_t replica_piece = piece_elements(replicas, ranks);

    /// Of the repeated unit with the fewest.
    static constexpr index_t fewest_blocks = [] {
        index_t result = std::numeric_limits<index_t>::max();
        for (std::size_t g = 0; g < groups.size; ++g)
            if (groups.groups[g].copies > 1) result = std::min(result, groups.groups[g].copies);
        return result;
    }();
    /// Elements of the pieces of all others.
    static constexpr index_t arriving = std::max(shard_piece * (shards - 1), replica_piece*(replicas - 1));
    static constexpr engine::staging_rooms staging = [] {
        engine::staging_rooms rooms;
        if constexpr (sends_device_memory) {
            // What ranks agree on, and copies of shares on their way to files.
            rooms.of_talk = round_up(ranks * statement_size, 64);
            rooms.of_exchange = round_up(std::min(arriving * index_t{sizeof(wire)}, index_t{1} << 20), 64);
        }
        if constexpr (stages_messages) {
            constexpr index_t weight = sizeof(typename precision::weight);
            constexpr index_t gradient = sizeof(typename precision::gradient);
            rooms.of_exchange = round_up(2 * arriving * index_t{sizeof(wire)}, 64);
            rooms.of_talk = ranks * verdict_size;
            for (std::size_t g = 0; g < groups.size; ++g) {
                auto const& its = groups.groups[g];
                if (!its.is_trained()) continue;
                if (sharding::stage == 0) rooms.of_talk = std::max(rooms.of_talk, its.count * gradient);
                else if (!gathers_weights || its.is_kept)
                    rooms.of_talk = std::max(rooms.of_talk, its.count * weight);
                if (replicas > 1) rooms.of_talk = std::max(rooms.of_talk, its.count / shards * gradient);
            }
            rooms.of_talk = round_up(rooms.of_talk, 64);
            for (int unit = 0; unit < groups.unit_count; ++unit) {
                index_t of_unit = 0;
                for (std::size_t g = 0; g < groups.size; ++g)
                    if (auto const& its = groups.groups[g]; its.unit == unit)
                        of_unit +=
                            its.count * (its.stored == snug::sharding::storage::frozen_bytes ? 1 : weight);
                rooms.of_gathering = std::max(rooms.of_gathering, round_up(of_unit, 64));
            }
        }
        return rooms;
    }();
    /// Bytes of what it says after one, where each updates a share.
    static constexpr index_t outcome_size = sizeof(step_numbers::not_finite);
    static constexpr step_traffic traffic = snug::sharding::traffic_of<composition>();

    /// What is declared when parameters are sharded: groups instead of parameters, and the room of what travels.
    template <class Add>
    static constexpr void declare_shares(layout_type& result, Add const& add) {
        static_assert(sizeof(refusal::gradients_in_fp32_travel_in_bf16<typename precision::gradient,
                                                                       typename sharding::wire>) > 0);
        static_assert(sizeof(refusal::prefetch_needs_a_room < sharding,
                             sharding::prefetch >= 0 &&
                                 (!gathers_weights || sharding::prefetch < fewest_blocks) >) > 0);
        engine::place_groups<precision, optimizer, sharding>(parameter_table.entries, groups,
                                                             result.parameters, result.groups, add);
        using gradient = typename precision::gradient;
        using weight = typename precision::weight;
        auto const room = [&]<class T>(std::type_identity<T>, snug::sharding::group const& g,
                                       std::string_view name, index_t slots, lifetime alive) {
            return add(snug::declare<T>(g.name / name, g.count, std::min(slots, g.copies),
                                        role::communication, alive));
        };
        if constexpr (reduces_each_micro_batch || gathers_weights) {
            constexpr auto units = static_cast<std::size_t>(groups.unit_count);
            constexpr auto lifetimes =
                snug::sharding::lifetimes_of_units<model, units>(groups, sharding::prefetch);
            for (std::size_t i = 0; i < groups.size; ++i) {
                auto const& g = groups.groups[i];
                auto alive = lifetimes[static_cast<std::size_t>(g.unit)];
                // What is quantized is whole first.
                if (g.stored == snug::sharding::storage::frozen_bytes) alive.weights.add({-1, -1});
                if (gathers_weights && !g.is_kept)
                    result.groups[i].gathered = g.stored == snug::sharding::storage::frozen_bytes
                                                    ? room(std::type_identity<std::byte>{}, g, "gathered",
                                                           sharding::prefetch + 1, alive.weights)
                                                    : room(std::type_identity<weight>{}, g, "gathered",
                                                           sharding::prefetch + 1, alive.weights);
                if (reduces_each_micro_batch && g.is_trained())
                    result.groups[i].unit_gradient =
                        room(std::type_identity<gradient>{}, g, "unit_gradient", 2, alive.gradients);
            }
        }
        result.arrivals = add(snug::declare<wire>(path{"arrivals"}, arriving, 2, role::communication));
        if constexpr (!std::is_same_v<wire, gradient>)
            result.departures =
                add(snug::declare<wire>(path{"departures"}, arriving, 2, role::communication));
        result.verdicts =
            add(snug::declare<std::byte>(path{"verdicts"}, verdict_size, ranks, role::communication));
        if constexpr (talks_apart)
            result.staged =
                add(snug::declare<std::byte>(path{stages_messages ? "staged" : "talk"},
                                             staging.gathering(gathers_weights ? sharding::prefetch + 1 : 0),
                                             1, role::communication, lifetime::always(), space::host_memory));
    }

    /// Where everything lies: counted first, then declared.
    static constexpr layout_type places = [] {
        int count = 0;
        auto result = declare([&](declaration const& buffer) { return region{count++, 0, buffer.stride()}; });
        result.declarations = count;
        return result;
    }();
    static constexpr auto plan = [] {
        std::array<declaration, static_cast<std::size_t>(places.declarations)> all{};
        std::size_t count = 0;
        declare([&](declaration const& buffer) {
            all[count++] = buffer;
            return region{};
        });
        return pack(all);
    }();
    static constexpr memory_bill bill = bill_of(plan);

    static constexpr region weight(int parameter) { return of(parameter).weight; }
    static constexpr region master(int parameter) { return of(parameter).master; }
    static constexpr region gradient(int parameter) { return of(parameter).gradient; }
    static constexpr region state(int which, int parameter) {
        return of(parameter).states[static_cast<std::size_t>(which)];
    }
    /// What layers read and add to: of a sharded array, the room in which that of a unit is whole.
    static constexpr region weight_in_use(int parameter) {
        return in_room(parameter, weight(parameter), &engine::group_places<state_size>::gathered,
                       entry(parameter).is_quantized() ? 1 : sizeof(typename precision::weight));
    }
    static constexpr region gradient_in_use(int parameter) {
        return in_room(parameter, gradient(parameter), &engine::group_places<state_size>::unit_gradient,
                       sizeof(typename precision::gradient));
    }
    /// Its weights are gathered before they are read.
    static constexpr bool is_gathered(int parameter) {
        auto const group = groups.members[static_cast<std::size_t>(parameter)].group;
        return gathers_weights && group >= 0 && !groups.groups[static_cast<std::size_t>(group)].is_kept;
    }
    static constexpr engine::ownership owned(int parameter) { return of(parameter).owned; }
    /// A buffer of the model, by its number there.
    static constexpr region buffer(int which) {
        return {places.first_buffer + which, 0, buffers[static_cast<std::size_t>(which)].stride()};
    }

  private:
    static constexpr auto state_size = static_cast<std::size_t>(state_count);
    static constexpr region in_room(int parameter, region lasting,
                                    region engine::group_places<state_size>::*room, index_t size) {
        auto const [group, position] = groups.members[static_cast<std::size_t>(parameter)];
        if (group < 0) return lasting;
        auto const whole = places.groups[static_cast<std::size_t>(group)].*room;
        return whole.declaration < 0 ? lasting : engine::part_of_group(whole, position, size);
    }
    static constexpr auto const& of(int parameter) {
        return places.parameters[static_cast<std::size_t>(parameter)];
    }
};

}  // namespace snug::SNUG_TARGET
