// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <concepts>
#include <snug/layers/node.hpp>
#include <snug/memory/recorder.hpp>

/// A walk over a model: composites pass on, leaves are what the walker is called for. The recorder of the plan, the
/// step and whoever counts what a step does walk the same way.
///
/// A walker has one function for leaves, `leaf(call)`, with one of the calls below, and says how a loop is gone
/// through; most derive from `in_order` and have `leaf` alone. A call names the leaf by its node and has its operands
/// as references to buffers.
namespace snug::SNUG_TARGET {

namespace calls {

/// y = layer(x), or y = base + layer(x) when `Added`.
template <class Node, bool Added>
struct forward {
    using node = Node;
    static constexpr pass which = pass::forward;
    buffer_reference x, y, base;

    constexpr auto touched() const { return std::array{x, y, base}; }
};

/// y = f(layer(x)), with the function of the elementwise layer that follows; layer(x) is stored in `between`.
template <class Node, class Elementwise>
struct forward_through {
    using node = Node;
    using elementwise = Elementwise;
    static constexpr pass which = pass::forward;
    buffer_reference x, between, y;

    constexpr auto touched() const { return std::array{x, between, y}; }
};

/// What backward reads of forward, without its output.
template <class Node>
struct save {
    using node = Node;
    static constexpr pass which = pass::forward;
    buffer_reference x;

    constexpr auto touched() const { return std::array{x}; }
};

/// Does to x, as the layer before it stores it, what forward does to it.
template <class Node>
struct change_input {
    using node = Node;
    static constexpr pass which = pass::forward;
    buffer_reference x;

    constexpr auto touched() const { return std::array{x}; }
};

/// The same as `forward`, of an x that forward has changed.
template <class Node, bool Added>
struct forward_on_changed {
    using node = Node;
    static constexpr pass which = pass::forward;
    buffer_reference x, y, base;

    constexpr auto touched() const { return std::array{x, y, base}; }
};

/// dx = layer'(x)ᵀ dy, or dx = base + layer'(x)ᵀ dy when `Added`; adds to the gradients of the parameters.
template <class Node, bool Added>
struct backward {
    using node = Node;
    static constexpr pass which = pass::backward;
    buffer_reference x, y, dy, dx, base;

    constexpr auto touched() const {
        using L = typename Node::type;
        return std::array{layer::backward_reads_input<L> ? x : buffer_reference{},
                          layer::backward_reads_output<L> ? y : buffer_reference{}, dy, dx, base};
    }
};

/// dx = f'(between) · layer'(x)ᵀ dy, with the function of the elementwise layer that comes before.
template <class Node, class Elementwise>
struct backward_through {
    using node = Node;
    using elementwise = Elementwise;
    static constexpr pass which = pass::backward;
    buffer_reference x, y, dy, between, dx;

    constexpr auto touched() const { return backward<Node, true>{x, y, dy, dx, between}.touched(); }
};

/// The head: forward and backward at once, the gradient takes the place of x.
template <class Node, class TiedNode>
struct loss {
    using node = Node;
    using tied = TiedNode;
    static constexpr pass which = pass::forward;
    buffer_reference x, targets;

    constexpr auto touched() const { return std::array{x, targets}; }
};

}  // namespace calls

/// What happens to a value that waits in the host's memory for backward. It leaves after the calls before, and has left
/// before those that follow; likewise it returns.
enum class offload_step { leaves, has_left, returns, has_returned };

/// Goes through loops as a program does; derive from it and say what a leaf does.
class in_order {
  public:
    template <class Body>
    constexpr void loop(index_t count, Body const& body) const {
        for (index_t i = 0; i < count; ++i) body(i);
    }
    /// One of two buffers, by where the walk stands in its loops.
    constexpr buffer_reference select(bool first, buffer_reference a, buffer_reference b) const {
        return first ? a : b;
    }
    /// The calls that follow are those of block `block` of a `repeat`.
    constexpr void enter_block(index_t block) { block_ = block; }
    /// Nothing reads what these buffers hold until they are written again.
    constexpr void release(int, int) const {}
    /// The buffer goes through the loop beside this.
    constexpr void carry(buffer_reference) const {}
    /// A value that stands `here` in the step's memory, in a slot, and `away` in the host's, is on its way, unless the
    /// walk is where there is none.
    constexpr void offload(offload_step, bool, int, buffer_reference, buffer_reference) const {}

  protected:
    constexpr index_t block() const { return block_; }

  private:
    index_t block_ = 0;
};

namespace detail {

/// A layer by which a walker is asked whether it takes the calls.
struct probe {
    static constexpr index_t input_width = 1, output_width = 1;
};
using probe_node = node<probe, 0, 0, false>;
struct probe_body {
    constexpr void operator()(index_t) const {}
};

}  // namespace detail

template <class W>
concept walker = requires(W& given, buffer_reference buffer, detail::probe_body body) {
    given.leaf(calls::forward<detail::probe_node, false>{});
    given.leaf(calls::save<detail::probe_node>{});
    given.leaf(calls::backward<detail::probe_node, false>{});
    given.loop(index_t{1}, body);
    { given.select(true, buffer, buffer) } -> std::same_as<buffer_reference>;
    given.enter_block(index_t{0});
    given.release(0, 0);
    given.carry(buffer);
    given.offload(offload_step::leaves, true, 0, buffer, buffer);
};

namespace layer {

/// Forward has something to leave for backward beside the output.
template <class L>
inline constexpr bool saves_anything = (meta::size<saved<L>>) != 0;

/// y = layer(x), or y = base + layer(x) when `Added`. A `y` without a buffer: nobody needs the output.
template <class Node, bool Added, walker Walker>
constexpr void forward(Walker& walker, buffer_reference x, buffer_reference y, buffer_reference base) {
    using L = typename Node::type;
    if constexpr (composite<L>) {
        L::template walk_forward<Node, Added>(walker, x, y, base);
    } else {
        if constexpr (!backward_reads_output<L>)
            if (y.id < 0) {
                if constexpr (saves_anything<L>) walker.leaf(calls::save<Node>{x});
                return;
            }
        walker.leaf(calls::forward<Node, Added>{x, y, base});
    }
}

/// dx = layer'(x)ᵀ dy, or dx = base + layer'(x)ᵀ dy when `Added`; adds to the gradients of the parameters.
template <class Node, bool Added, walker Walker>
constexpr void backward(Walker& walker, buffer_reference x, buffer_reference y, buffer_reference dy,
                        buffer_reference dx, buffer_reference base) {
    using L = typename Node::type;
    if constexpr (composite<L>) L::template walk_backward<Node, Added>(walker, x, y, dy, dx, base);
    else walker.leaf(calls::backward<Node, Added>{x, y, dy, dx, base});
}

}  // namespace layer

}  // namespace snug::SNUG_TARGET
