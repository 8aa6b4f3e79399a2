// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <snug/layers/keeping.hpp>
#include <snug/layers/sequence.hpp>
#include <snug/ops/pages.hpp>
#include <string_view>
#include <type_traits>
#include <utility>

namespace snug::SNUG_TARGET {

namespace layer {

/// L is a repeated block, or has one inside.
template <class L>
constexpr bool repeats() {
    if constexpr (requires { L::keeps_all_blocks; }) return true;
    else if constexpr (composite<L>)
        return []<class... Children>(meta::list<Children...>*) {
            return (repeats<Children>() || ... || false);
        }(static_cast<typename L::children*>(nullptr));
    else return false;
}

}  // namespace layer

namespace refusal {

template <class Block, bool Repeats>
struct a_repeated_block_has_no_repeated_block_inside {
    static_assert(!Repeats,
                  "snug: a block of snug::repeat has another snug::repeat inside (see Block): parameters and "
                  "buffers are counted by one number of a block. Repeat all of them once, or write the inner "
                  "ones as snug::sequence<B, B, B>");
};

template <class... Given>
struct a_range_of_blocks_is_a_repeat {
    static_assert((requires { Given::keeps_all_blocks; } && ...),
                  "snug: snug::ranges takes snug::repeat<N, Block> for each range of blocks (see Given)");
};

}  // namespace refusal

namespace detail {

/// "5-11".
constexpr path two_numbers(index_t first, char between, index_t second) {
    std::array<char, 41> both{};
    std::size_t length = 0;
    for (index_t number : {first, second}) {
        if (length > 0) both[length++] = between;
        std::array<char, 20> digits{};
        std::size_t begin = digits.size();
        do digits[--begin] = static_cast<char>('0' + number % 10);
        while ((number /= 10) > 0);
        for (auto i = begin; i < digits.size(); ++i) both[length++] = digits[i];
    }
    return path(std::string_view(both.data(), length));
}

/// The buffers of a stretch of blocks are called by its first and last block: "blocks.5-11.input".
template <index_t First, index_t Blocks>
struct stretch_name {
    static constexpr path name = two_numbers(First, '-', First + Blocks - 1);
};
template <index_t Blocks>
struct stretch_name<-1, Blocks> {};

/// Numbered blocks in one copy of a repeated one.
template <class Block>
inline constexpr index_t period_of = 1;
template <class Block>
    requires requires { Block::period; }
inline constexpr index_t period_of<Block> = Block::period;

/// Values of a block, by their numbers.
template <std::size_t N>
struct some_values {
    std::array<int, N + 1> numbers{};
    std::size_t size = 0;
    /// None of them is one that a layer wants to find again in a later forward pass.
    bool spares_inputs_of_layers = true;
};

/// Those that backward reads, of the names that a list has.
template <class Block, class Names>
constexpr auto values_that_travel([[maybe_unused]] bool some) {
    if constexpr (std::is_void_v<Names>) {
        return some_values<0>{};
    } else {
        some_values<static_cast<std::size_t>(meta::size<Names>)> result;
        if constexpr (meta::size < Names >> 0 && layer::composite<Block>) {
            constexpr auto& facts = values_of_block<Block>;
            meta::for_each<Names>([&]<class Name>(Name) {
                for (std::size_t v = 0; some && v + 1 < facts.size(); ++v) {
                    if (!Name::is(facts[v].name.view()) || !is_read_in_backward(facts, v)) continue;
                    result.numbers[result.size++] = static_cast<int>(v);
                    if (facts[v + 1].keeps_input) result.spares_inputs_of_layers = false;
                }
            });
        }
        return result;
    }
}

/// Inside a part of the blocks that has a placeholder of its own in the names of parameters.
constexpr declaration_context in_some_blocks(declaration_context where, path const& which) {
    auto const before = where.name.length;
    where = where.inside(which.view());
    where.block.placeholder += static_cast<int>(where.name.length - before);
    return where;
}

}  // namespace detail

/// The same block `Blocks` times, each with parameters of its own. Runs as a loop: compile time does not depend on the
/// number of blocks. What backward needs is kept for all blocks (`Segment` 0), or only the input of every `Segment`
/// blocks; the rest is recomputed segment by segment (Chen et al., "Training Deep Nets with Sublinear Memory Cost",
/// arXiv 1604.06174). `First`: the number of its first block, in a `grouped`. `Offloads`, unless void: of the inputs
/// that are kept, three at a time are in the step's memory, and the others wait in the host's for backward (Rajbhandari
/// et al., "ZeRO-Infinity", arXiv 2104.07857); so do the values of a block that it lists by name, if all blocks keep
/// them.
template <index_t Blocks, class Block, index_t Segment = 0, index_t First = -1, class Offloads = void>
struct repeat : detail::stretch_name<First, Blocks> {
    static_assert(Blocks > 0, "snug: a repeated block needs at least one block");
    static_assert(Segment >= 0, "snug: a segment of blocks is not shorter than 0, which keeps all of them");
    static_assert(sizeof(refusal::what_is_added_or_repeated_must_keep_its_width<Block, Block::input_width,
                                                                                Block::output_width>) > 0);

    static_assert(
        sizeof(refusal::a_repeated_block_has_no_repeated_block_inside<Block, layer::repeats<Block>()>) > 0);

    using children = meta::list<Block>;
    using block = Block;
    static constexpr index_t blocks = Blocks;
    static constexpr bool keeps_all_blocks = Segment == 0;
    static constexpr index_t input_width = Block::input_width;
    static constexpr index_t output_width = Block::output_width;
    static constexpr bool backward_reads_input = true;
    static constexpr bool backward_reads_output = false;
    static_assert(!layer::backward_reads_output<Block>,
                  "snug: a repeated block must not read its own output in backward");
    static constexpr bool backward_writes_over_input = false;
    static constexpr bool backward_writes_over_gradient = layer::backward_writes_over_gradient<Block>;

    /// Blocks kept at once, and how often.
    static constexpr index_t segment = keeps_all_blocks ? Blocks : Segment;
    static constexpr index_t segments = (Blocks + segment - 1) / segment;
    /// Inputs that are kept from forward to backward, beside that of the first block, and how many of them wait in the
    /// host's memory.
    static constexpr index_t kept_inputs = (keeps_all_blocks ? Blocks : segments) - 1;
    static constexpr index_t offloaded_inputs =
        !std::is_void_v<Offloads> && kept_inputs > ops::offload_slots ? kept_inputs - ops::offload_slots : 0;
    /// Values inside of blocks that wait there, by their numbers.
    static constexpr auto offloaded_values =
        detail::values_that_travel<Block, Offloads>(keeps_all_blocks && Blocks > ops::offload_slots);

    /// Inputs of the blocks of one segment, inputs of the segments, gradients between blocks; then, in the host's
    /// memory, inputs and values.
    static constexpr int own_buffers =
        3 + (offloaded_inputs > 0 ? 1 : 0) + static_cast<int>(offloaded_values.size);

    /// What layers left of their inputs is there after the forward pass (see layer::keeps_input).
    static constexpr bool keeps_inputs_of_layers = offloaded_values.spares_inputs_of_layers;

    /// The gradient of a block's output is dead after the block, except that of the last block when somebody
    /// above still needs it; then it is copied into dx by the addition of the first residual connection.
    template <class Node>
    using block_node = node<Block, Node::first_parameter, Node::first_buffer + own_buffers,
                            Node::keeps_output_gradient, Node::is_forward_only>;

    template <std::size_t N>
    static constexpr void declare_parameters(parameter_table<N>& table, declaration_context where) {
        where.copies = Blocks;
        where.block.at = static_cast<int>(where.name.length) - where.block.placeholder;
        layer::declare_parameters<Block>(table, where);
    }

    template <class Node, class Setting, std::size_t N>
    static constexpr void declare_buffers(buffer_table<N>& table, declaration_context where) {
        using element = typename Setting::activation;
        constexpr auto count = input_width * Setting::rows;
        auto const first = table.size - static_cast<std::size_t>(Node::first_buffer);
        auto const some = [&](std::string_view name, index_t copies, role line) {
            table.template add<element>(where.name / name, copies == 0 ? 0 : count, copies, line);
        };
        if constexpr (Node::is_forward_only) {
            // Of two inputs that follow each other one is read and the other written.
            some("input", std::min<index_t>(segment - 1, 2), role::workspace);
            some("segment_input", std::min<index_t>(segments - 1, 2), role::workspace);
            where.kept_copies = 1;
        } else {
            auto const here = kept_inputs - offloaded_inputs;
            some("input", keeps_all_blocks ? here : segment - 1, role::activation);
            some("segment_input", keeps_all_blocks ? 0 : here, role::activation);
            where.kept_copies = segment;
        }
        some("gradient", backward_writes_over_gradient ? 0 : 2, role::workspace);
        if constexpr (offloaded_inputs > 0)
            table.template add<element>(where.name / "offloaded_input", Node::is_forward_only ? 0 : count,
                                        offloaded_inputs, role::activation, space::host_memory);
        each_value([&]<int Value>() {
            constexpr auto& value = detail::values_of_block<Block>[Value];
            table.template add<element>(where.name / value.name.view() / "offloaded",
                                        Node::is_forward_only ? 0 : value.width * Setting::rows,
                                        Blocks - ops::offload_slots, role::activation, space::host_memory);
        });
        layer::declare_buffers<block_node<Node>, Setting>(table, where);
        if constexpr (Node::is_forward_only) return;
        each_value([&]<int Value>() {
            table.entries[first + static_cast<std::size_t>(value_buffer<Node, Value>)].copies =
                ops::offload_slots;
        });
    }

    template <class Node, bool Added, walker Walker>
    static constexpr void walk_forward(Walker& walker, buffer_reference x, buffer_reference y,
                                       buffer_reference) {
        static_assert(
            !Added,
            "snug: repeated blocks stand in the model's own sequence, not inside a residual connection");
        walker.loop(Blocks, [&](index_t i) {
            walker.enter_block(first_block + i);
            if constexpr (!Node::is_forward_only)
                if (i % blocks_of_input == 0) before_forward<Node>(walker, i / blocks_of_input);
            layer::forward<block_node<Node>, false>(walker, block_input<Node>(walker, i, x),
                                                    block_output<Node>(walker, i, y), {});
        });
        if constexpr (!keeps_all_blocks) {
            walker.release(Node::first_buffer, Node::first_buffer + 1);
            walker.release(block_node<Node>::first_buffer, block_node<Node>::last_buffer);
        }
    }

    template <class Node, bool Added, walker Walker>
    static constexpr void walk_backward(Walker& walker, buffer_reference x, buffer_reference,
                                        buffer_reference dy, buffer_reference dx, buffer_reference) {
        static_assert(
            !Added,
            "snug: repeated blocks stand in the model's own sequence, not inside a residual connection");
        constexpr auto length = segment;
        constexpr auto count = segments;
        auto const carried = buffer_reference{backward_writes_over_gradient ? -1 : Node::first_buffer + 2};
        walker.carry(carried);
        walker.loop(count, [&](index_t s) {
            auto const first = (count - 1 - s) * length;
            auto const last = first + length < Blocks ? first + length : Blocks;
            if constexpr (!keeps_all_blocks) before_backward<Node>(walker, count - 1 - s);
            if constexpr (!keeps_all_blocks)
                in_segment<length>(walker, last - first, [&](index_t j) {
                    walker.enter_block(first_block + first + j);
                    // The output of a segment's last block is there already: it is the next segment's input.
                    auto const output = length == 1
                                            ? buffer_reference{}
                                            : walker.select(first + j + 1 == last, {}, inner<Node>(j + 1));
                    layer::forward<block_node<Node>, false>(walker, block_input<Node>(walker, first + j, x),
                                                            output, {});
                });
            in_segment<length>(walker, last - first, [&](index_t j) {
                auto const i = last - 1 - j;
                walker.enter_block(first_block + i);
                if constexpr (keeps_all_blocks) before_backward<Node>(walker, i);
                auto const d_in = backward_writes_over_gradient
                                      ? dx
                                      : walker.select(i == 0, dx, {Node::first_buffer + 2, i % 2});
                auto const d_out = walker.select(i == Blocks - 1, dy,
                                                 backward_writes_over_gradient
                                                     ? dx
                                                     : buffer_reference{Node::first_buffer + 2, (i + 1) % 2});
                layer::backward<block_node<Node>, false>(walker, block_input<Node>(walker, i, x), {}, d_out,
                                                         d_in, {});
            });
        });
        walker.carry(carried);
    }

  private:
    /// A segment of one block is no loop: its buffers live from call to call, not for the whole block.
    template <index_t Length, class Walker, class Body>
    static constexpr void in_segment(Walker& walker, index_t count, Body const& body) {
        if constexpr (Length == 1) body(index_t{0});
        else walker.loop(count, body);
    }

    static constexpr index_t first_block = First < 0 ? 0 : First;

    /// Blocks between two inputs that are kept. Input k is what its stretch k + 1 of the blocks begins with.
    static constexpr index_t blocks_of_input = keeps_all_blocks ? 1 : segment;

    /// What is there when a stretch begins leaves beside the two stretches that run next; then its slot is written
    /// again.
    template <class Node, class Walker>
    static constexpr void before_forward(Walker& walker, index_t stretch) {
        input_travels<Node>(walker, offload_step::leaves, stretch - 1);
        values_travel<Node>(walker, offload_step::leaves, stretch - 1);
        input_travels<Node>(walker, offload_step::has_left, stretch - ops::offload_slots);
        values_travel<Node>(walker, offload_step::has_left, stretch - ops::offload_slots);
    }
    /// It returns when the backward of what had its slot is done, beside two stretches as well.
    template <class Node, class Walker>
    static constexpr void before_backward(Walker& walker, index_t stretch) {
        values_travel<Node>(walker, offload_step::returns, stretch + 1 - ops::offload_slots);
        input_travels<Node>(walker, offload_step::returns, stretch - ops::offload_slots);
        values_travel<Node>(walker, offload_step::has_returned, stretch);
        input_travels<Node>(walker, offload_step::has_returned, stretch - 1);
    }
    template <class Node, class Walker>
    static constexpr void input_travels(Walker& walker, offload_step step, index_t input) {
        if constexpr (offloaded_inputs > 0)
            walker.offload(
                step, 0 <= input && input < offloaded_inputs, static_cast<int>(input % ops::offload_slots),
                {Node::first_buffer + (keeps_all_blocks ? 0 : 1), input}, {Node::first_buffer + 3, input});
    }
    /// Those of a block.
    template <class Node, class Walker>
    static constexpr void values_travel(Walker& walker, offload_step step, index_t of) {
        int away = Node::first_buffer + 3 + (offloaded_inputs > 0 ? 1 : 0);
        each_value([&]<int Value>() {
            walker.offload(step, 0 <= of && of < Blocks - ops::offload_slots,
                           ops::offload_slots + static_cast<int>((first_block + of) % ops::offload_slots),
                           {value_buffer<Node, Value>, first_block + of}, {away++, of});
        });
    }

    template <class F>
    static constexpr void each_value(F const& f) {
        meta::for_each_index<static_cast<int>(offloaded_values.size)>(
            [&]<int I>() { f.template operator()<offloaded_values.numbers[I]>(); });
    }
    template <class Node, int Value>
    static constexpr int value_buffer =
        meta::at<typename detail::leaves_of<block_node<Node>, -1>::type, Value>::output;

    template <class Node>
    static constexpr buffer_reference inner(index_t j) {
        return {Node::first_buffer, j - 1};
    }

    template <class Node, class Walker>
    static constexpr buffer_reference block_input(Walker& walker, index_t i, buffer_reference x) {
        constexpr auto length = segment;
        auto const later = segments == 1
                               ? inner<Node>(i)
                               : walker.select(i % length == 0, {Node::first_buffer + 1, i / length - 1},
                                               length == 1 ? buffer_reference{Node::first_buffer + 1}
                                                           : inner<Node>(i % length));
        return Blocks == 1 ? x : walker.select(i == 0, x, later);
    }

    template <class Node, class Walker>
    static constexpr buffer_reference block_output(Walker& walker, index_t i, buffer_reference y) {
        return Blocks == 1 ? y : walker.select(i == Blocks - 1, y, block_input<Node>(walker, i + 1, y));
    }
};

/// The blocks of one `repeat` in stretches that differ in what they keep for backward, each a `repeat` with
/// the number of its first block. They share the parameters of the whole, which are called and stored as if
/// there were no stretches.
template <class... Stretches>
struct grouped : detail::in_sequence<true, Stretches...> {
    static constexpr bool shares_parameters = true;
    static constexpr index_t blocks = (Stretches::blocks + ...);

    template <std::size_t N>
    static constexpr void declare_parameters(parameter_table<N>& table, declaration_context where) {
        where.copies = blocks;
        where.block.at = static_cast<int>(where.name.length) - where.block.placeholder;
        layer::declare_parameters<typename meta::at<meta::list<Stretches...>, 0>::block>(table, where);
    }
};

/// Blocks of several kinds in turn, as the block of a `repeat`: `repeat<6, alternating<Local, Global>>` are
/// 12 blocks, of which those of even numbers are Local. Their parameters are called by the numbers of the
/// blocks: "blocks.7.qkv.weight".
template <class... Blocks>
struct alternating : detail::in_sequence<false, Blocks...> {
    static constexpr index_t period = sizeof...(Blocks);

    template <std::size_t N>
    static constexpr void declare_parameters(parameter_table<N>& table, declaration_context where) {
        index_t which = 0;
        meta::for_each<meta::list<std::type_identity<Blocks>...>>([&]<class B>(std::type_identity<B>) {
            auto inside = detail::in_some_blocks(where, detail::two_numbers(which, '+', period));
            inside.block.first += which++;
            inside.block.every = period;
            layer::declare_parameters<B>(table, inside);
        });
    }
};

/// Blocks of several kinds, one range after the other, each a `repeat`: `ranges<repeat<4, Dense>, repeat<20,
/// Sparse>>` are 24 blocks, whose parameters are called by one numbering.
template <class... Repeats>
struct ranges : detail::in_sequence<false, Repeats...> {
    static_assert(sizeof(refusal::a_range_of_blocks_is_a_repeat<Repeats...>) > 0);

    template <std::size_t N>
    static constexpr void declare_parameters(parameter_table<N>& table, declaration_context where) {
        index_t first = 0;
        meta::for_each<meta::list<std::type_identity<Repeats>...>>([&]<class R>(std::type_identity<R>) {
            constexpr auto blocks = R::blocks * detail::period_of<typename R::block>;
            auto inside = detail::in_some_blocks(where, detail::two_numbers(first, '-', first + blocks - 1));
            inside.block.first += first;
            first += blocks;
            R::declare_parameters(table, inside);
        });
    }
};

namespace detail {

/// The type of `every_nth`.
template <index_t Blocks, index_t Period, class Block, class Nth>
constexpr auto in_a_pattern() {
    constexpr index_t whole = Period > 0 ? Blocks / Period : 0;
    constexpr index_t rest = Period > 0 ? Blocks % Period : Blocks;
    if constexpr (whole == 0) return std::type_identity<repeat<Blocks, Block>>{};
    else if constexpr (Period == 1) return std::type_identity<repeat<Blocks, Nth>>{};
    else {
        using plain = meta::mp::mp_repeat_c<meta::list<Block>, static_cast<std::size_t>(Period - 1)>;
        using all = repeat<whole, meta::mp::mp_rename<meta::mp::mp_push_back<plain, Nth>, alternating>>;
        if constexpr (rest == 0) return std::type_identity<all>{};
        else return std::type_identity<ranges<all, repeat<rest, Block>>>{};
    }
}

}  // namespace detail

/// `Blocks` blocks, of which every `Period`-th is an `Nth` and the others are a `Block` each; period 0: none is.
/// `every_nth<10, 4, A, B>` are A A A B, A A A B, A A.
template <index_t Blocks, index_t Period, class Block, class Nth>
using every_nth = typename decltype(detail::in_a_pattern<Blocks, Period, Block, Nth>())::type;

/// A layer that backward runs again instead of reading an output that was kept. For layers that are
/// `cheap_to_recompute`.
template <class Layer>
struct recomputed : Layer {
    static constexpr bool is_recomputed = true;
};

namespace layer {

/// Of the repeated blocks in the layer at Node none stands before all that trains.
template <class Node>
constexpr bool all_blocks_have_a_backward() {
    using L = typename Node::type;
    if constexpr (requires { L::keeps_all_blocks; }) return !Node::is_forward_only;
    else if constexpr (requires { L::length; }) return []<std::size_t... K>(std::index_sequence<K...>) {
            return (
                all_blocks_have_a_backward<typename L::template child_node<Node, static_cast<int>(K)>>() &&
                ...);
        }
    (std::make_index_sequence<static_cast<std::size_t>(L::length)>{});
    else return true; }

/// What a forward pass of all blocks leaves for the next call of forward is there after it: no block is run again in
/// the place of another, and of each is kept what its layers say they find again (`keeps_input`).
template <class L>
constexpr bool keeps_all_blocks() {
    if constexpr (requires { L::keeps_all_blocks; })
        if (!L::keeps_all_blocks) return false;
    if constexpr (requires { L::keeps_inputs_of_layers; })
        if (!L::keeps_inputs_of_layers) return false;
    if constexpr (composite<L>)
        return []<class... Children>(meta::list<Children...>*) {
            return (keeps_all_blocks<Children>() && ... && true);
        }(static_cast<typename L::children*>(nullptr));
    else return true;
}

}  // namespace layer

}  // namespace snug::SNUG_TARGET
