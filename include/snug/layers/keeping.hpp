// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <snug/layers/residual.hpp>
#include <snug/layers/sequence.hpp>
#include <string_view>

/// A block that keeps some of its values for backward, by their names, and computes the others again.
namespace snug::SNUG_TARGET {

namespace refusal {

template <class Layer, bool IsOneOfSnugs>
struct the_values_of_a_composite_of_your_own_have_no_names {
    static constexpr bool holds = IsOneOfSnugs;
    static_assert(holds,
                  "snug: checkpointing::keep and within name values of blocks that are made of "
                  "snug::sequence and snug::residual, and a layer with children of your own is inside (see "
                  "Layer)");
};

template <class Layer, bool HasIt>
struct a_layer_that_changes_its_input_does_not_say_how_it_goes_on {
    static_assert(HasIt,
                  "snug: a layer changes its input where it lies (keeps_input), and what is kept of the "
                  "block is its input "
                  "without its output, or its output without its input (see Layer). Give it 'static void "
                  "change_input(auto "
                  "const& call, auto x)' and 'static void forward_on_changed(auto const& call, auto x, auto "
                  "y)', which one "
                  "after the other are 'forward', or 'static constexpr bool changes_input = false' when it "
                  "leaves its input "
                  "as it is, or keep both or neither");
};

}  // namespace refusal

namespace detail {

template <class L>
concept is_residual = requires {
    typename L::inner;
    requires layer::composite<L>;
};
template <class L>
concept is_sequence = requires {
    L::length;
    requires layer::composite<L>;
};

/// Leaves of a layer.
template <class L>
constexpr int leaves_in() {
    if constexpr (layer::composite<L>)
        return []<class... Children>(meta::list<Children...>*) {
            return (leaves_in<Children>() + ... + 0);
        }(static_cast<typename L::children*>(nullptr));
    else return 1;
}

/// L is made of snug's sequences and residual connections, so that what is between its layers has names.
template <class L>
constexpr bool names_its_values() {
    if constexpr (!layer::composite<L>) return true;
    else if constexpr (!is_residual<L> && !is_sequence<L>) return false;
    else
        return []<class... Children>(meta::list<Children...>*) {
            return (names_its_values<Children>() && ... && true);
        }(static_cast<typename L::children*>(nullptr));
}

/// A leaf of a block with its output, the value of its number. A leaf's input is the value before its own; that of the
/// first, number -1, is the block's.
struct block_value_facts {
    path name{};  ///< in the block: "qkv.output"
    index_t width = 0;
    bool reads_input = true;
    bool reads_output = false;
    bool keeps_input = false;
    bool changes_input = false;
    bool joins_products = false;  ///< it is done where the leaf before stores
    bool adds = false;            ///< y = base + layer(x), ...
    int base = -1;                ///< ... of this value

    template <class L>
    static constexpr block_value_facts of(path name, bool joins, bool adds, int base) {
        return {name,
                L::output_width,
                layer::backward_reads_input<L>,
                layer::backward_reads_output<L>,
                layer::keeps_input<L>,
                layer::changes_input<L>,
                joins,
                adds,
                base};
    }
};

template <class L, std::size_t N>
constexpr void describe_values(std::array<block_value_facts, N>& all, int& next, path where, path output,
                               bool joins, bool adds, int base) {
    if constexpr (is_residual<L>) {
        describe_values<typename L::inner>(all, next, where, output, false, true, next - 1);
    } else if constexpr (is_sequence<L>) {
        meta::for_each_index<L::length>([&]<int K>() {
            using child = typename L::template child<K>;
            constexpr bool is_last = K == L::length - 1;
            describe_values<child>(all, next, where / layer::name<child>(),
                                   is_last ? output : where / layer::name_of_value<child>() / "output",
                                   L::template joins_products<K>, adds && is_last, base);
        });
    } else {
        static_assert(
            sizeof(refusal::the_values_of_a_composite_of_your_own_have_no_names<L, !layer::composite<L>>) >
            0);
        all[static_cast<std::size_t>(next++)] = block_value_facts::of<L>(output, joins, adds, base);
    }
}

/// Of every leaf of a block, in the order in which they run. The last value is the block's output.
template <class Block>
inline constexpr auto values_of_block = [] {
    std::array<block_value_facts, static_cast<std::size_t>(leaves_in<Block>())> all{};
    int next = 0;
    describe_values<Block>(all, next, {}, {}, false, false, -1);
    return all;
}();

/// Backward reads this value of a block.
template <std::size_t N>
constexpr bool is_read_in_backward(std::array<block_value_facts, N> const& facts, std::size_t value) {
    return facts[value].reads_output || (value + 1 < N && facts[value + 1].reads_input);
}

/// Values of a block that backward reads.
template <std::size_t N>
constexpr index_t count_of_values(std::array<block_value_facts, N> const& facts) {
    index_t count = 0;
    for (std::size_t v = 0; v + 1 < N; ++v) count += is_read_in_backward(facts, v);
    return count;
}

/// A leaf at its place in a block, with the buffer of its output; -1: the block's output.
template <class Node, int Output>
struct block_leaf {
    using node = Node;
    static constexpr int output = Output;
};

template <class Node, int Output>
struct leaves_of {
    using type = meta::list<block_leaf<Node, Output>>;
};
template <class Node, int Output>
    requires is_residual<typename Node::type>
struct leaves_of<Node, Output> : leaves_of<typename Node::type::template inner_node<Node>, Output> {
};
template <class Node, int Output>
    requires is_sequence<typename Node::type>
struct leaves_of<Node, Output> {
    using L = typename Node::type;
    template <std::size_t... K>
    static auto of(std::index_sequence<K...>) -> meta::mp::mp_append<typename leaves_of<
        typename L::template child_node<Node, static_cast<int>(K)>,
        K + 1 == sizeof...(K) ? Output : Node::first_buffer + static_cast<int>(K)>::type...>;
    using type = decltype(of(std::make_index_sequence<static_cast<std::size_t>(L::length)>{}));
};

/// What a block keeps, and when backward computes the rest again.
template <std::size_t N>
struct block_schedule {
    static constexpr int never = -1;
    std::array<bool, N> is_kept{};
    /// Before the backward of which leaf the value is computed again.
    std::array<int, N> again{};
    /// The last leaf that reads it in forward.
    std::array<int, N> last_reader{};
};

/// Each value that is not kept is computed again once, just before the first leaf whose backward reads it or needs it
/// to compute another one, from what is there. Nothing has changed by then: a value gives its place to its gradient
/// when the leaf that reads it is done, and that is later.
template <std::size_t N, class Keeps>
constexpr block_schedule<N> schedule_of(std::array<block_value_facts, N> const& facts, Keeps const& keeps) {
    constexpr auto count = static_cast<int>(N);
    block_schedule<N> result;
    auto const at = [](int i) { return static_cast<std::size_t>(i); };
    for (int v = 0; v < count; ++v) {
        result.is_kept[at(v)] = v + 1 < count && is_read_in_backward(facts, at(v)) && keeps(v);
        result.again[at(v)] = block_schedule<N>::never;
        result.last_reader[at(v)] = v + 1 < count ? v + 1 : v;
        if (facts[at(v)].adds && facts[at(v)].base >= 0) result.last_reader[at(facts[at(v)].base)] = v;
    }
    auto const need = [&](auto const& self, int value, int before) -> void {
        if (value < 0 || result.is_kept[at(value)] || result.again[at(value)] >= 0) return;
        self(self, value - 1, before);
        if (facts[at(value)].adds) self(self, facts[at(value)].base, before);
        result.again[at(value)] = before;
    };
    for (int leaf = count - 1; leaf >= 0; --leaf) {
        auto const needs_of = [&](int of) {
            if (facts[at(of)].reads_output) need(need, of, leaf);
            if (facts[at(of)].reads_input) need(need, of - 1, leaf);
        };
        // The last value is the block's own output, which no block reads.
        if (!facts[at(leaf)].joins_products) needs_of(leaf);
        if (leaf > 0 && facts[at(leaf - 1)].joins_products) needs_of(leaf - 1);
    }
    return result;
}

template <class Block, class Policy>
inline constexpr auto schedule_of_block = schedule_of(values_of_block<Block>, [](int value) {
    return Policy::keeps(values_of_block<Block>[static_cast<std::size_t>(value)].name.view());
});

/// Leaf K changes its input, which is kept as it left it while its output is computed again, or the other way.
template <class Block, class Policy>
constexpr bool goes_on_from_changed_input(std::size_t leaf) {
    constexpr auto& schedule = schedule_of_block<Block, Policy>;
    bool const input_again = leaf > 0 && schedule.again[leaf - 1] >= 0;
    bool const output_again = schedule.again[leaf] >= 0;
    return values_of_block<Block>[leaf].changes_input && input_again != output_again;
}

template <class L, bool Changes>
using says_how_it_goes_on = refusal::a_layer_that_changes_its_input_does_not_say_how_it_goes_on<
    L, !Changes || (layer::names_change_input<L> && layer::names_forward_on_changed<L>)>;
template <class Block, class Policy, class Leaves, class Indices>
struct inputs_are_there;
template <class Block, class Policy, class... Leaves, std::size_t... K>
struct inputs_are_there<Block, Policy, meta::list<Leaves...>, std::index_sequence<K...>> {
    static_assert((sizeof(says_how_it_goes_on<typename Leaves::node::type,
                                              goes_on_from_changed_input<Block, Policy>(K)>) *
                   ... * 1) > 0);
};

}  // namespace detail

/// A block that keeps for backward the values that `Policy::keeps` by name. It computes each of the others again just
/// before it is read. What a layer saves beside its output is kept, or computed again, with the output.
template <class Block, class Policy>
struct keeping : Block {
    static constexpr auto facts = detail::values_of_block<Block>;
    static constexpr auto schedule = detail::schedule_of_block<Block, Policy>;
    static constexpr int leaf_count = static_cast<int>(facts.size());

    /// What layers left of their inputs is there after the forward pass (see layer::keeps_input).
    static constexpr bool keeps_inputs_of_layers = [] {
        for (std::size_t v = 1; v < facts.size(); ++v)
            if (facts[v].keeps_input && !schedule.is_kept[v - 1]) return false;
        return true;
    }();

    static_assert(sizeof(detail::inputs_are_there<
                         Block, Policy, typename detail::leaves_of<node<Block, 0, 0, false>, -1>::type,
                         std::make_index_sequence<facts.size()>>) > 0);

    template <class Node>
    using leaves = typename detail::leaves_of<
        node<Block, Node::first_parameter, Node::first_buffer, Node::keeps_output_gradient, Node::is_first>,
        -1>::type;
    template <class Node, int K>
    using leaf_at = meta::at<leaves<Node>, K>;

    template <class Node, class Setting, std::size_t N>
    static constexpr void declare_buffers(buffer_table<N>& table, declaration_context where) {
        auto const first = static_cast<int>(table.size) - Node::first_buffer;
        Block::template declare_buffers<Node, Setting>(table, where);
        auto const passes = [&](int id) {
            auto& buffer = table.entries[static_cast<std::size_t>(first + id)];
            buffer.copies = 1;
            buffer.line = role::workspace;
        };
        each([&]<int K>() {
            using its = typename leaf_at<Node, K>::node;
            if (its_output_is_inside<K> && !schedule.is_kept[K]) passes(leaf_at<Node, K>::output);
            if (runs_again<K>)
                for (int i = 0; i < its::saved_count; ++i) passes(its::saved(i));
        });
    }

    template <class Node, bool Added, walker Walker>
    static constexpr void walk_forward(Walker& walker, buffer_reference x, buffer_reference y,
                                       buffer_reference) {
        static_assert(!Added, "snug: a block stands in snug::repeat");
        each([&]<int K>() {
            run<Node, K, in_forward>(walker, x, y);
            // Of what will be computed again nothing is kept until then.
            if constexpr (runs_again<K>) {
                using its = typename leaf_at<Node, K>::node;
                walker.release(its::first_buffer, its::workspace(pass::forward) + 1);
            }
            each([&]<int Value>() {
                if constexpr (runs_again<Value> && schedule.last_reader[Value] == K)
                    walker.release(leaf_at<Node, Value>::output, leaf_at<Node, Value>::output + 1);
            });
        });
    }

    template <class Node, bool Added, walker Walker>
    static constexpr void walk_backward(Walker& walker, buffer_reference x, buffer_reference y,
                                        buffer_reference dy, buffer_reference dx, buffer_reference base) {
        in_backward<Node, Walker> with_values{walker, x};
        Block::template walk_backward<Node, Added>(with_values, x, y, dy, dx, base);
    }

  private:
    template <int K>
    static constexpr bool its_output_is_inside = K + 1 < leaf_count;
    template <int K>
    static constexpr bool runs_again = [] {
        if constexpr (K >= 0) return schedule.again[K] >= 0;
        else return false;
    }();

    /// Leaf K runs before the backward of leaf `When`, or in the forward pass.
    static constexpr int in_forward = -2;
    template <int K, int When>
    static constexpr bool runs = [] {
        if constexpr (K >= 0 && K < leaf_count) return When == in_forward || schedule.again[K] == When;
        else return false;
    }();

    /// Walks as the walker does, and before a leaf's backward computes what it needs.
    template <class Node, class Walker>
    struct in_backward {
        Walker& walker;
        buffer_reference x;

        template <class Call>
        constexpr void leaf(Call const& call) {
            if constexpr (Call::which == pass::backward)
                each([&]<int K>() {
                    if constexpr (leaf_at<Node, K>::node::first_buffer == Call::node::first_buffer)
                        compute_before<Node, K>(walker, x);
                });
            walker.leaf(call);
        }
        template <class Body>
        constexpr void loop(index_t count, Body const& body) {
            walker.loop(count, body);
        }
        constexpr buffer_reference select(bool first, buffer_reference a, buffer_reference b) const {
            return walker.select(first, a, b);
        }
        constexpr void enter_block(index_t block) { walker.enter_block(block); }
        constexpr void release(int first, int last) { walker.release(first, last); }
        constexpr void carry(buffer_reference buffer) { walker.carry(buffer); }
        constexpr void offload(offload_step step, bool happens, int slot, buffer_reference here,
                               buffer_reference away) {
            walker.offload(step, happens, slot, here, away);
        }
    };

    template <class Node, int Before, class Walker>
    static constexpr void compute_before(Walker& walker, buffer_reference x) {
        each([&]<int K>() {
            if constexpr (schedule.again[K] == Before) run<Node, K, Before>(walker, x, {});
        });
    }

    /// The value of a number; -1 is the block's input.
    template <class Node, int Value>
    static constexpr buffer_reference value(buffer_reference x, buffer_reference y) {
        if constexpr (Value < 0) return x;
        else if constexpr (Value + 1 == leaf_count) return y;
        else return {leaf_at<Node, Value>::output};
    }

    /// Leaf K, as one of those that run before the backward of leaf `When`.
    template <class Node, int K, int When, class Walker>
    static constexpr void run(Walker& walker, buffer_reference x, buffer_reference y) {
        using its = typename leaf_at<Node, K>::node;
        constexpr auto is = facts[K];
        constexpr bool is_again = When != in_forward;
        auto const in = value<Node, K - 1>(x, y);
        auto const out = value<Node, K>(x, y);
        auto const base = value<Node, is.base>(x, y);
        if constexpr (is.joins_products && runs<K - 1, When>) {
            // Leaf K - 1 has done it.
        } else if constexpr (joins<K + 1> && runs<K + 1, When>) {
            walker.leaf(calls::forward_through<its, typename leaf_at<Node, K + 1>::node>{
                in, out, value<Node, K + 1>(x, y)});
        } else if constexpr (is_again && is.changes_input && !runs_again<K - 1>) {
            walker.leaf(calls::forward_on_changed<its, is.adds>{in, out, base});
        } else {
            layer::forward<its, is.adds>(walker, in, out, is.adds ? base : buffer_reference{});
        }
        if constexpr (is_again && its_output_is_inside<K>) {
            // Its reader changed it in the forward pass and does not run again.
            if constexpr (facts[K + 1].changes_input && !runs_again<K + 1>) {
                using reader = typename leaf_at<Node, K + 1>::node;
                walker.leaf(calls::change_input<reader>{out});
            }
        }
    }
    template <int K>
    static constexpr bool joins = [] {
        if constexpr (K < leaf_count) return facts[K].joins_products;
        else return false;
    }();

    template <class F>
    static constexpr void each(F&& f) {
        meta::for_each_index<leaf_count>(f);
    }
};

}  // namespace snug::SNUG_TARGET
