// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <bit>
#include <snug/checkpointing/solver.hpp>
#include <snug/engine/composition.hpp>
#include <snug/engine/work.hpp>

/// checkpointing::within: the cheapest groups of blocks that fit, found with the planner itself.
namespace snug::SNUG_TARGET {

namespace refusal {

template <class Model, index_t KindsOfBlocks>
struct within_a_budget_all_blocks_are_of_one_kind {
    static constexpr bool holds = KindsOfBlocks == 1;
    static_assert(holds,
                  "snug: checkpointing::within looks for what the blocks of one snug::repeat keep, and this "
                  "model has none, several, or blocks that differ in turn (see Model and KindsOfBlocks). "
                  "Name what is kept: checkpointing::keep<...>, selective, every_block");
};

template <class Block, index_t Values>
struct within_a_budget_a_block_has_at_most_12_values {
    static constexpr bool holds = Values <= 12;
    static_assert(holds,
                  "snug: checkpointing::within tries all sets of the values that backward reads in a block, "
                  "and there are more than 12 of them (see Block and Values). Name those that are kept: "
                  "checkpointing::keep<...>");
};

template <index_t>
struct the_largest_line_is_weights_MiB;
template <index_t>
struct the_largest_line_is_gradients_MiB;
template <index_t>
struct the_largest_line_is_optimizer_state_MiB;
template <index_t>
struct the_largest_line_is_activations_MiB;
template <index_t>
struct the_largest_line_is_communication_MiB;

/// With the bill of the plan that takes least.
template <class Least, class Budget, class OverBy, class WhatHelps, class Bill>
struct no_recomputation_fits_the_budget {
    static constexpr bool holds = Least::amount <= Budget::amount;
    static_assert(
        holds,
        "snug: no recomputation fits the budget of checkpointing::within: the least, by how much it is over, "
        "and the largest line of its bill are in no_recomputation_fits_the_budget<...>. What makes that line "
        "smaller: of activations, a smaller snug::batch with more accumulation::micro_batches; of the "
        "optimizer's "
        "state, adamw<states<int8>>; of weights and gradients, adapters::lora with a quantization; of any, "
        "sharding::zero");
};

template <class Given>
struct this_trainer_does_not_look_for_its_checkpointing {
    static constexpr bool holds = false;
    static_assert(holds && !std::is_void_v<Given>,
                  "snug: checkpointing::chosen<T> is what checkpointing::within has found, and T has another "
                  "policy (see Given)");
};

}  // namespace refusal

namespace detail {

/// The picoseconds that calls take by a device's table, in integers, so that no plan depends on a compiler.
struct call_rates {
    index_t product = 1, attention = 1, memory = 1, link = 1;  ///< 10^9 a second

    template <class Device, class Element>
    static constexpr call_rates of() {
        double const peak =
            sizeof(Element) < 4 && Device::bf16_rate > 0 ? Device::bf16_rate : Device::fp32_rate;
        auto const part = [](double rate, index_t thousands, index_t percent) {
            auto const tenths = static_cast<index_t>(rate * 10);
            index_t const rounded = tenths + (rate * 10 - static_cast<double>(tenths) < 0.5 ? 0 : 1);
            return std::max<index_t>(1, rounded * thousands / 10 * percent / 100);
        };
        constexpr auto share = Device::attained;
        // A device of one's own may not say how it is linked to the host.
        auto const link = [&] {
            if constexpr (requires { Device::host_link; }) return part(Device::host_link, 1, share.link);
            else return static_cast<index_t>(devices::generic::host_link);
        }();
        return {part(peak, 1000, share.product), part(peak, 1000, share.attention),
                part(Device::bandwidth, 1, share.memory), link};
    }
    static constexpr index_t time(index_t amount, index_t rate) {
        return amount / rate * 1000 + amount % rate * 1000 / rate;
    }
    constexpr index_t of(workload one) const {
        return std::max(time(one.products, product) + time(one.attention, attention),
                        time(one.bytes, memory));
    }
};

/// In the set of what a block keeps: its input, but not where the step runs.
inline constexpr unsigned offloads_inputs = 1U << 31;

struct logged_call {
    int at = 0;
    bool is_backward = false;
    int first_buffer = -1;
    std::array<int, 32> touched{};
    int size = 0;
};

/// Writes down what the calls inside of loops touch, by the positions of the recorder.
template <int Buffers, int Calls>
struct logging_walker : recording_walker<static_cast<std::size_t>(Buffers)> {
    std::array<logged_call, static_cast<std::size_t>(Calls)> calls{};
    int size = 0;
    int now = -1;
    std::array<lifetime::interval, 2> loops{};
    int loop_count = 0;
    int depth = 0;

    template <class Call>
    constexpr void leaf(Call const& call) {
        using Node = typename Call::node;
        ++now;
        if (depth == 0) return;
        auto& entry = calls[static_cast<std::size_t>(size++)];
        entry.at = now;
        entry.is_backward = Call::which == pass::backward;
        entry.first_buffer = Node::first_buffer;
        auto const touch = [&](int id) {
            if (id >= 0) entry.touched[static_cast<std::size_t>(entry.size++)] = id;
        };
        for (auto const& buffer : call.touched())
            touch(buffer.id), touch(buffer.other), touch(buffer.another);
        for (int i = 0; i < Node::saved_count; ++i) touch(Node::saved(i));
        touch(Node::workspace(Call::which));
    }
    template <class Body>
    constexpr void loop(index_t, Body const& body) {
        ++now;
        if (depth++ == 0) loops[static_cast<std::size_t>(loop_count)].first = now;
        body(index_t{0});
        ++now;
        if (--depth == 0) loops[static_cast<std::size_t>(loop_count++)].last = now;
    }
    constexpr void release(int, int) {}
    constexpr void carry(buffer_reference) { ++now; }
    template <class... References>
    constexpr void use(References...) {
        ++now;
    }
};

template <class Node>
struct repeat_inside {
    using L = typename Node::type;
    template <std::size_t... K>
    static auto find(std::index_sequence<K...>) -> meta::mp::mp_append<std::conditional_t<
        is_repeat<typename L::template child<static_cast<int>(K)>>,
        meta::list<typename L::template child_node<Node, static_cast<int>(K)>>, meta::list<>>...>;
    using type = decltype(find(std::make_index_sequence<static_cast<std::size_t>(L::length)>{}));
};

/// What the blocks of a composition that keeps everything do, and what lies beside them.
template <class C>
struct block_study {
    using model = typename C::model;
    using setting = typename C::setting;
    using repeat_node = meta::at<typename repeat_inside<typename model::nodes::body>::type, 0>;
    using repeated = typename repeat_node::type;
    using block = typename repeated::block;
    using block_node = typename repeated::template block_node<repeat_node>;
    using leaves = typename leaves_of<block_node, -1>::type;
    static constexpr auto& facts = values_of_block<block>;
    static constexpr int leaf_count = static_cast<int>(facts.size());
    static constexpr int first = block_node::first_buffer;
    static constexpr int buffers = block_node::last_buffer - first;
    static constexpr index_t input =
        block::input_width * setting::rows * index_t{sizeof(typename setting::activation)};

    static constexpr auto log = [] {
        logging_walker<model::buffer_count, 4 * leaf_count> walker;
        model::record(walker);
        return walker;
    }();

    /// By numbers of buffers in the block.
    struct buffer_fact {
        index_t size = 0;
        int value = -1;
        int saved_by = -1;
    };
    struct leaf_fact {
        int output = -1;
        int first_buffer = 0;
        int saved = 0;
        int workspace = 0;
        bool goes_on = true;
        layer_work work{};
    };
    static constexpr auto leaf_facts = [] {
        std::array<leaf_fact, facts.size()> all{};
        [&]<std::size_t... K>(std::index_sequence<K...>) {
            (
                [&] {
                    using leaf = meta::at<leaves, static_cast<index_t>(K)>;
                    using node = typename leaf::node;
                    using L = typename node::type;
                    all[K] = {leaf::output < 0 ? -1 : leaf::output - first,
                              node::first_buffer,
                              node::saved_count,
                              node::workspace(pass::forward) - first,
                              layer::names_change_input<L> && layer::names_forward_on_changed<L>,
                              L::template work<setting_of<setting, L>>()};
                }(),
                ...);
        }
        (std::make_index_sequence<facts.size()>{});
        return all;
    }();
    static constexpr auto buffer_facts = [] {
        std::array<buffer_fact, static_cast<std::size_t>(buffers)> all{};
        for (int r = 0; r < buffers; ++r)
            all[std::size_t(r)].size = C::buffers[std::size_t(first + r)].stride();
        for (int k = 0; k < leaf_count; ++k) {
            auto const& leaf = leaf_facts[std::size_t(k)];
            if (leaf.output >= 0) all[std::size_t(leaf.output)].value = k;
            for (int i = 0; i < leaf.saved; ++i) all[std::size_t(leaf.first_buffer - first + i)].saved_by = k;
        }
        return all;
    }();
    /// The values that backward reads.
    static constexpr auto values = [] {
        std::array<int, facts.size()> all{};
        int count = 0;
        for (int v = 0; v + 1 < leaf_count; ++v)
            if (is_read_in_backward(facts, std::size_t(v))) all[std::size_t(count++)] = v;
        return std::pair{all, count};
    }();

    static constexpr index_t time_of_block(call_rates const& rates) {
        index_t total = 0;
        for (auto const& leaf : leaf_facts) total += rates.of(leaf.work.forward);
        return total;
    }

    /// The same set where inputs wait in the host's memory: but for that of the group's first block and those in the
    /// slots, which are there throughout. A block that is faster than its input waits, forward and backward.
    static constexpr keep_option offloading_inputs(keep_option option, call_rates const& rates) {
        auto const travels = call_rates::time(input, rates.link);
        index_t backward = option.cost;
        for (auto const& leaf : leaf_facts) backward += rates.of(leaf.work.backward);
        option.mask |= offloads_inputs;
        option.kept -= input;
        option.cost +=
            std::max<index_t>(0, travels - time_of_block(rates)) + std::max<index_t>(0, travels - backward);
        option.once = (ops::offload_slots + 1) * input;
        option.least_blocks = ops::offload_slots + 2;
        return option;
    }

    /// Whether blocks can keep this set, and what that costs.
    static constexpr std::pair<bool, keep_option> option(unsigned mask, call_rates const& rates) {
        std::array<bool, facts.size()> keeps{};
        for (int i = 0; i < values.second; ++i)
            keeps[std::size_t(values.first[std::size_t(i)])] = (mask >> i & 1) != 0;
        auto const plan = schedule_of(facts, [&](int v) { return keeps[std::size_t(v)]; });
        keep_option result{mask, input, 0, 0};
        for (int k = 0; k < leaf_count; ++k) {
            auto const at = std::size_t(k);
            bool const again = plan.again[at] >= 0, input_again = k > 0 && plan.again[at - 1] >= 0;
            auto const& work = leaf_facts[at].work;
            if (facts[at].changes_input && again != input_again) {
                if (!leaf_facts[at].goes_on) return {false, result};
                result.cost += again ? rates.of(work.forward + work.change * -1) : rates.of(work.change);
            } else if (again && !(facts[at].joins_products && plan.again[at - 1] == plan.again[at])) {
                result.cost += rates.of(work.forward);
            }
        }
        auto const is_kept = [&](buffer_fact const& b) {
            if (b.value >= 0) return plan.is_kept[std::size_t(b.value)];
            return b.saved_by >= 0 && plan.again[std::size_t(b.saved_by)] < 0;
        };
        std::array<int, std::size_t(buffers)> begin{}, end{};
        int now = 0;
        for (int r = 0; r < buffers; ++r) {
            begin[std::size_t(r)] = -1;
            if (is_kept(buffer_facts[std::size_t(r)])) result.kept += buffer_facts[std::size_t(r)].size;
        }
        auto const touch = [&](int r) {
            if (r < 0 || r >= buffers) return;
            if (begin[std::size_t(r)] < 0) begin[std::size_t(r)] = now;
            end[std::size_t(r)] = now;
        };
        auto const most = [&] {
            std::array<index_t, 16 * facts.size()> change{};
            for (int r = 0; r < buffers; ++r) {
                auto const& b = buffer_facts[std::size_t(r)];
                if (begin[std::size_t(r)] >= 0 && !is_kept(b)) {
                    auto const size = round_up(b.size, buffer_alignment);
                    change[std::size_t(begin[std::size_t(r)])] += size;
                    change[std::size_t(end[std::size_t(r)] + 1)] -= size;
                }
                begin[std::size_t(r)] = -1;
            }
            index_t alive = 0;
            for (int t = 0; t <= now; ++t)
                result.transient = std::max(result.transient, alive += change[std::size_t(t)]);
            now = 0;
        };
        auto const replay = [&](bool backward) {
            for (int c = 0; c < log.size; ++c) {
                auto const& call = log.calls[std::size_t(c)];
                if (call.is_backward != backward) continue;
                if (backward) {
                    int leaf = 0;
                    while (leaf_facts[std::size_t(leaf)].first_buffer != call.first_buffer) ++leaf;
                    for (int k = 0; k < leaf_count; ++k) {
                        auto const at = std::size_t(k);
                        if (plan.again[at] != leaf) continue;
                        bool const joint = facts[at].joins_products && plan.again[at - 1] == leaf;
                        auto const& f = leaf_facts[at];
                        touch(f.output);
                        if (joint) continue;
                        bool const joins =
                            k + 1 < leaf_count && facts[at + 1].joins_products && plan.again[at + 1] == leaf;
                        if (joins) touch(leaf_facts[at + 1].output);
                        if (k > 0) touch(leaf_facts[at - 1].output);
                        if (facts[at].adds && facts[at].base >= 0)
                            touch(leaf_facts[std::size_t(facts[at].base)].output);
                        for (int i = 0; i < f.saved; ++i) touch(f.first_buffer - first + i);
                        touch(f.workspace);
                        ++now;
                    }
                }
                for (int i = 0; i < call.size; ++i) touch(call.touched[std::size_t(i)] - first);
                ++now;
            }
            most();
        };
        replay(false);
        replay(true);
        return {true, result};
    }

    /// What is alive beside the buffers of the blocks.
    static constexpr block_chain chain = [] {
        block_chain result;
        result.blocks = repeated::blocks;
        std::array<index_t, static_cast<std::size_t>(log.now) + 2> change{};
        auto const last = std::size_t(log.now);
        index_t floor = 0;
        for (std::size_t i = 0; i < C::plan.declarations.size(); ++i) {
            auto const& d = C::plan.declarations[i];
            if (d.where != space::device_memory) continue;
            auto const size = round_up(d.size().count, buffer_alignment);
            auto const id = static_cast<int>(i) - C::places.first_buffer;
            if (d.alive.forever) floor += size;
            else if (id < repeat_node::first_buffer || id >= repeat_node::last_buffer)
                for (int s = 0; s < d.alive.count; ++s) {
                    auto const span = d.alive.intervals[std::size_t(s)];
                    if (span.last < 0 || span.first > log.now) {
                        result.outside = std::max(result.outside, size);
                        continue;
                    }
                    change[std::size_t(span.first)] += size;
                    change[std::size_t(span.last) + 1] -= size;
                }
        }
        index_t alive = 0, in_loops = -1;
        for (std::size_t t = 0; t <= last; ++t) {
            alive += change[t];
            auto const now = static_cast<int>(t);
            auto const inside = [&](lifetime::interval loop) {
                return loop.first <= now && now <= loop.last;
            };
            if (inside(log.loops[0]) || inside(log.loops[1]))
                in_loops = in_loops < 0 ? alive : std::min(in_loops, alive);
            else if (now > log.loops[0].last && now < log.loops[1].first)
                result.between = std::max(result.between, alive);
            else result.outside = std::max(result.outside, alive);
        }
        // What lies beside the blocks in both loops is floor; their first input is part of it.
        result.floor = floor + in_loops - input;
        result.between = result.between - in_loops;
        result.outside += floor;
        return result;
    }();
};

template <class Device>
struct device_with_rates {
    using type = devices::generic;
};
template <class Device>
    requires requires { Device::attained; }
struct device_with_rates<Device> {
    using type = Device;
};

template <class Chosen>
struct search_within;

/// `Chosen` with a policy that was found in the place of `within`.
template <class Chosen, class Policy>
struct with_checkpointing : Chosen {
    using checkpointing = Policy;
    using within = search_within<Chosen>;
};

/// Consecutive blocks, by the numbers of the first and the last, and the values that they keep, a bit each.
struct chosen_blocks {
    index_t first = 0;
    index_t last = -1;
    unsigned kept = 0;
};

/// The search: plans in the order of their cost, each laid out by the planner, until one fits.
template <class Chosen>
struct search_within {
    using budget = typename Chosen::checkpointing::budget;
    template <class Policy>
    using composed = composition<with_checkpointing<Chosen, Policy>>;
    using everything = composed<checkpointing::none>;
    using study = block_study<everything>;
    using device = typename device_with_rates<budget>::type;
    static constexpr index_t available = (budget::memory - budget::reserve).count;
    static constexpr auto rates = call_rates::of<device, typename study::setting::activation>();
    static constexpr bool may_offload =
        detail::may_offload<typename Chosen::checkpointing> && study::chain.blocks > ops::offload_slots + 1;
    static constexpr unsigned sets = 1U << study::values.second;
    static constexpr unsigned all_values = sets - 1;
    /// So many plans are laid out in the order of their cost; then less than the budget is looked for.
    static constexpr int most_in_order = 8;
    static constexpr int most_attempts = 12;

    // In pieces: compilers bound the steps of one constant.
    template <unsigned Piece>
    struct front_to {
        static constexpr option_front value = [] {
            option_front front;
            if constexpr (Piece > 0) front = front_to<Piece - 1>::value;
            for (unsigned mask = Piece * 16; mask < std::min(sets, Piece * 16 + 16); ++mask) {
                auto const [can_be, option] = study::option(mask, rates);
                if (!can_be) continue;
                front.add(option);
                if constexpr (may_offload) front.add(study::offloading_inputs(option, rates));
            }
            return front;
        }();
    };
    static constexpr option_front front = [] {
        auto all = front_to<(sets - 1) / 16>::value;
        all.sort();
        return all;
    }();
    static constexpr index_t forward = study::time_of_block(rates) * study::chain.blocks;

    template <int Value>
    static constexpr auto name_of = [] {
        constexpr auto& name = study::facts[std::size_t(study::values.first[Value])].name;
        char characters[name.length + 1] = {};
        std::copy_n(name.characters.data(), name.length, characters);
        return text(characters);
    }();
    template <unsigned Mask>
    static constexpr auto numbers = [] {
        std::array<int, std::size_t(std::popcount(Mask))> all{};
        std::size_t count = 0;
        for (int v = 0; v < 32; ++v)
            if (Mask >> v & 1) all[count++] = v;
        return all;
    }();
    template <unsigned Mask, std::size_t... I>
    static auto keep_of(std::index_sequence<I...>) -> checkpointing::keep<name_of<numbers<Mask>[I]>...>;
    template <unsigned Mask>
    struct kept_by {
        using type =
            std::conditional_t<Mask == all_values, checkpointing::none,
                               decltype(keep_of<Mask>(std::make_index_sequence<numbers<Mask>.size()>{}))>;
    };
    template <unsigned Mask>
        requires((Mask & offloads_inputs) != 0)
    struct kept_by<Mask> {
        using type = checkpointing::offloaded<typename kept_by<Mask & ~offloads_inputs>::type>;
    };
    template <unsigned Mask>
    using keeps = typename kept_by<Mask>::type;
    static constexpr unsigned mask_of(int option) { return front.options[std::size_t(option)].mask; }

    static constexpr option_list corners = corners_of(front);
    static constexpr option_list endings = endings_of(study::chain, front);

    /// What the step takes beside the buffers of the model, whatever blocks keep: one buffer for all that always lives,
    /// first; behind the model's come others. Where parameters are sharded nobody asks.
    static constexpr auto beside = [] {
        std::array<declaration, 4> all{};
        if (everything::is_sharded) return std::pair{all, std::size_t{0}};
        std::size_t size = 1;
        auto const& declared = everything::plan.declarations;
        auto const first = std::size_t(everything::places.first_buffer);
        for (std::size_t i = 0; i < declared.size(); ++i) {
            auto const& d = declared[i];
            if (d.where != space::device_memory || (i >= first && i < first + everything::buffers.size()))
                continue;
            if (d.alive.forever) all[0].count += round_up(d.size().count, buffer_alignment);
            else all[size++] = d;
        }
        return std::pair{all, size};
    }();
    /// What `composed<Policy>` takes, without all that does not depend on the policy. Where parameters are sharded,
    /// some room of theirs does.
    template <class Policy>
    static constexpr index_t total_with() {
        if constexpr (everything::is_sharded) {
            return composed<Policy>::plan.total().count;
        } else {
            using model = typename checkpointed_model<typename study::model, Policy>::type;
            constexpr auto buffers = buffers_of<model, typename study::setting>();
            std::array<declaration, buffers.size() + beside.first.size()> all{};
            std::size_t size = 0;
            all[size++] = beside.first[0];
            for (auto const& buffer : buffers) all[size++] = buffer;
            for (std::size_t i = 1; i < beside.second; ++i) all[size++] = beside.first[i];
            return pack(all).total().count;
        }
    }

    /// Groups as a policy: one is what its blocks keep.
    template <class... Groups>
    struct policy_of_groups {
        using type = checkpointing::plan<Groups...>;
    };
    template <class Group>
    struct policy_of_groups<Group> {
        using type = typename Group::policy;
    };
    template <index_t Blocks, unsigned Mask>
    using group_list =
        std::conditional_t<(Blocks > 0), meta::list<checkpointing::group<Blocks, keeps<Mask>>>, meta::list<>>;
    /// The `plan` that `Has` has as a policy, and what it takes.
    template <index_t FirstBlocks, unsigned First, index_t SecondBlocks, unsigned Second, index_t Ending,
              unsigned Last>
    struct laid_out {
        using policy = typename meta::mp::mp_rename<
            meta::mp::mp_append<group_list<FirstBlocks, First>, group_list<SecondBlocks, Second>,
                                group_list<Ending, Last>>,
            policy_of_groups>::type;
        static constexpr index_t total = total_with<policy>();
    };
    template <class Has>
    static constexpr index_t ending_of = Has::plan.ending < 0 ? 0 : 1;
    template <class Has>
    using layout_of =
        laid_out<Has::plan.first_blocks, mask_of(Has::plan.first),
                 study::chain.blocks - Has::plan.first_blocks - ending_of<Has>, mask_of(Has::plan.second),
                 ending_of<Has>, mask_of(Has::plan.ending < 0 ? 0 : Has::plan.ending)>;

    /// Of all plans that keep little in most blocks the one whose bound is least.
    template <bool Offloads>
    struct least_that {
        static constexpr group_plan plan = least_plan(study::chain, front, Offloads);
        static constexpr index_t total = layout_of<least_that>::total;
    };
    /// What offloads has the lower bound, and may pack worse.
    static constexpr bool least_offloads = [] {
        if constexpr (may_offload) return least_that<true>::total < least_that<false>::total;
        else return false;
    }();
    using least = least_that<least_offloads>;

    /// A plan, and what laying it out told.
    template <int Number>
    struct attempt {
        using before = attempt<Number - 1>;
        static constexpr group_plan plan = [] {
            if constexpr (Number < most_in_order)
                return next_plan(study::chain, front, corners, endings, available, before::plan);
            else return next_plan(study::chain, front, corners, endings, available - before::waste, {});
        }();
        static constexpr index_t total = [] {
            if constexpr (plan.is_there()) return layout_of<attempt>::total;
            else return 0;
        }();
        static constexpr index_t waste =
            plan.is_there() ? std::max(before::waste, total - bound_of(study::chain, front, plan))
                            : before::waste;
    };
    template <int Number>
        requires(Number < 0)
    struct attempt<Number> {
        static constexpr group_plan plan{};
        static constexpr index_t waste = 0;
    };

    struct outcome {
        group_plan plan{};
        int attempts = 0;
        bool fits = false;
        bool is_proven = true;
    };
    template <int Number>
    static constexpr bool is_tried = [] {
        if constexpr (Number < most_attempts) return attempt<Number>::plan.is_there();
        else return false;
    }();
    template <int Number>
    static constexpr outcome found_from() {
        if constexpr (is_tried<Number>) {
            if constexpr (attempt<Number>::total <= available)
                return {attempt<Number>::plan, Number + 1, true, Number < most_in_order};
            else return found_from<Number + 1>();
        } else {
            return {least::plan, Number + 1, least::total <= available, Number < most_in_order};
        }
    }
    static constexpr outcome found = found_from<0>();
    static constexpr bool fits = found.fits;
    struct winner {
        static constexpr group_plan plan = found.plan;
    };
    using policy = typename layout_of<winner>::policy;
    using result = composed<policy>;
    static constexpr index_t found_total = layout_of<winner>::total;

    static constexpr bytes away = [] {
        bytes sum{};
        for (auto const& buffer : result::buffers)
            if (buffer.where == space::host_memory) sum += buffer.size();
        return sum;
    }();

    static constexpr double percent_of(double cost) { return 100.0 * cost / double(forward); }
    static constexpr double percent = percent_of(double(found.plan.cost));
    static constexpr double bound = percent_of(least_cost(study::chain, front, available));

    /// By the numbers of bits.
    static constexpr auto names = [] {
        std::array<std::string_view, std::size_t(study::values.second)> all{};
        for (std::size_t v = 0; v < all.size(); ++v)
            all[v] = study::facts[std::size_t(study::values.first[v])].name.view();
        return all;
    }();
    static constexpr int groups_count =
        1 + (found.plan.first_blocks + (found.plan.ending < 0 ? 0 : 1) < study::chain.blocks) +
        (found.plan.ending < 0 ? 0 : 1);
    static constexpr auto groups = [] {
        std::array<chosen_blocks, std::size_t(groups_count)> all{};
        index_t const last = study::chain.blocks - 1;
        all[0] = {0, found.plan.first_blocks - 1, mask_of(found.plan.first)};
        if (groups_count > 1) all[1] = {found.plan.first_blocks, last, mask_of(found.plan.second)};
        if (groups_count > 2) {
            all[1].last = last - 1;
            all[2] = {last, last, mask_of(found.plan.ending)};
        }
        return all;
    }();
};

template <class Chosen>
struct resolved {
    using type = Chosen;
};
template <class Chosen>
    requires keeps_within_budget<typename Chosen::checkpointing>
struct resolved<Chosen> {
    using type = with_checkpointing<Chosen, typename search_within<Chosen>::policy>;
};

/// A search that is possible and found something, or a refusal in words.
template <class Chosen>
struct recomputation_fits {
    using search = search_within<Chosen>;
    static_assert(search::found_total == search::result::plan.total().count);

    template <class>
    struct refused {
        using C = typename search::result;
        struct least {
            using trainer_type = least;
            using composition = C;
        };
        static constexpr memory_bill lines = C::bill;
        using bill = typename bill_against<least, typename search::budget>::type;
        static constexpr index_t weights = diagnose::mebibytes(lines.weights + lines.master_weights),
                                 gradients = diagnose::mebibytes(lines.gradients),
                                 state = diagnose::mebibytes(lines.optimizer_state),
                                 activations = diagnose::mebibytes(lines.activations + lines.workspace),
                                 communication = diagnose::mebibytes(lines.communication);
        static constexpr index_t most = std::max({weights, gradients, state, activations, communication});
        template <index_t Amount, class This, class Else>
        using largest = std::conditional_t<Amount == most, This, Else>;
        using what_helps =
            largest<activations, refusal::the_largest_line_is_activations_MiB<most>,
                    largest<state, refusal::the_largest_line_is_optimizer_state_MiB<most>,
                            largest<weights, refusal::the_largest_line_is_weights_MiB<most>,
                                    largest<gradients, refusal::the_largest_line_is_gradients_MiB<most>,
                                            refusal::the_largest_line_is_communication_MiB<most>>>>>;
        using type = refusal::no_recomputation_fits_the_budget<
            least_MiB<bill::total>, budget_MiB<bill::budget>,
            over_by_MiB<diagnose::mebibytes({search::found_total - search::available})>, what_helps, bill>;
    };
    struct accepted_type {
        using type = std::true_type;
    };
    using found = typename std::conditional_t<search::fits, accepted_type, refused<Chosen>>::type;
    static_assert(sizeof(found) > 0);
    static constexpr bool value = search::fits;
};

template <class Body>
struct kinds_of_blocks {
    using nodes = typename repeat_inside<node<Body, 0, 0, false>>::type;
    static constexpr index_t value = []<class... Nodes>(meta::list<Nodes...>) {
        return (period_of<typename Nodes::type::block> + ... + 0);
    }(nodes{});
};

template <class Model>
struct accepted_blocks : accepted<refusal::within_a_budget_all_blocks_are_of_one_kind<
                             Model, kinds_of_blocks<typename Model::body>::value>> {};
template <class Model>
using block_of_model =
    typename meta::at<typename kinds_of_blocks<typename Model::body>::nodes, 0>::type::block;
template <class Model>
struct accepted_names : accepted<refusal::the_values_of_a_composite_of_your_own_have_no_names<
                            block_of_model<Model>, names_its_values<block_of_model<Model>>()>> {};
template <class Model>
struct accepted_count : accepted<refusal::within_a_budget_a_block_has_at_most_12_values<
                            block_of_model<Model>, count_of_values(values_of_block<block_of_model<Model>>)>> {
};

/// What `within` asks of a model and a budget; nothing of other policies.
template <class Chosen>
struct accepted_search : std::true_type {};
template <class Chosen>
    requires keeps_within_budget<typename Chosen::checkpointing>
struct accepted_search<Chosen> {
    using model = typename adapted_model<typename Chosen::model, typename Chosen::quantization,
                                         typename Chosen::adapters>::type;
    using setting = snug::setting<Chosen::batch::sequences, Chosen::batch::tokens, typename Chosen::precision,
                                  typename Chosen::where::backend>;
    static constexpr bool value =
        std::conjunction<accepted_blocks<model>, accepted_names<model>, accepted_count<model>,
                         layers_are_counted<typename model::body, setting>,
                         recomputation_fits<Chosen>>::value;
};

template <class T>
struct search_of {
    static_assert(sizeof(refusal::this_trainer_does_not_look_for_its_checkpointing<T>) > 0);
};
template <class T>
    requires requires { typename trainer_of<T>::composition::chosen::within; }
struct search_of<T> {
    using type = typename trainer_of<T>::composition::chosen::within;
};

}  // namespace detail

namespace checkpointing {

/// What `within` has found for the trainer T. Constants:
///
///     using chosen = snug::checkpointing::chosen<my_trainer>;
///     static_assert(chosen::recompute_percent < 15);
template <class T>
struct chosen {
    using search = typename detail::search_of<T>::type;
    /// The policy: `none`, a `keep`, or a `plan` of two groups. A trainer that has it in the place of `within` is the
    /// same.
    using plan = typename search::policy;
    /// Time of what is computed again, by the rates of the device, in percent of a forward pass of all blocks, in which
    /// each layer's call takes the longer of its operations and its bytes.
    static constexpr double recompute_percent = search::percent;
    /// No plan that fits costs less, of however many groups.
    static constexpr double bound = search::bound;
    static constexpr double gap = recompute_percent - bound;
    /// No cheaper plan of one or two groups fits: each is too large even if it packed without loss, or was laid out and
    /// is too large.
    static constexpr bool proven = search::found.is_proven;
    /// Plans that were laid out.
    static constexpr int attempts = search::found.attempts;
    /// What waits in the host's memory from forward to backward.
    static constexpr bytes offloaded = search::away;
    /// Of the budget.
    static constexpr bytes unused{search::available - search::found_total};
    /// With so much memory or more there is a plan for this trainer, with every budget of these rates.
    static constexpr bytes least{search::least::total};
};

}  // namespace checkpointing
}  // namespace snug::SNUG_TARGET
