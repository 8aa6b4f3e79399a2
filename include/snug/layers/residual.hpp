// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <snug/layers/sequence.hpp>

namespace snug::SNUG_TARGET {

/// y = x + inner(x), with inner one layer or several in sequence. The sum is part of the last layer's store,
/// and in backward dx = dy + inner'ᵀ dy part of the first layer's: the connection itself moves no memory.
template <class... Layers>
struct residual {
    using inner = sequence<Layers...>;
    using children = meta::list<inner>;
    static constexpr int own_buffers = 0;

    static constexpr index_t input_width = inner::input_width;
    static constexpr index_t output_width = inner::output_width;
    static_assert(
        sizeof(refusal::what_is_added_or_repeated_must_keep_its_width<inner, input_width, output_width>) > 0);

    static constexpr bool backward_reads_input = inner::backward_reads_input;
    static constexpr bool backward_reads_output = false;
    static_assert(!inner::backward_reads_output,
                  "snug: the last layer of a residual connection must not read its own output in backward");
    static constexpr bool backward_writes_over_input = false;
    static constexpr bool backward_writes_over_gradient = true;

    /// dy is still needed when the inner layers are done: it is added to their gradient.
    template <class Node>
    using inner_node = node<inner, Node::first_parameter, Node::first_buffer, true, Node::is_forward_only>;

    template <std::size_t N>
    static constexpr void declare_parameters(parameter_table<N>& table, declaration_context where) {
        inner::declare_parameters(table, where);
    }

    template <class Node, class Setting, std::size_t N>
    static constexpr void declare_buffers(buffer_table<N>& table, declaration_context where) {
        inner::template declare_buffers<inner_node<Node>, Setting>(table, where);
    }

    template <class Node, bool Added, walker Walker>
    static constexpr void walk_forward(Walker& walker, buffer_reference x, buffer_reference y,
                                       buffer_reference) {
        static_assert(!Added,
                      "snug: the last layer of a residual connection is itself a residual connection");
        layer::forward<inner_node<Node>, true>(walker, x, y, x);
    }

    template <class Node, bool Added, walker Walker>
    static constexpr void walk_backward(Walker& walker, buffer_reference x, buffer_reference,
                                        buffer_reference dy, buffer_reference dx, buffer_reference) {
        static_assert(!Added,
                      "snug: the first layer of a residual connection is itself a residual connection");
        layer::backward<inner_node<Node>, true>(walker, x, {}, dy, dx, dy);
    }
};

}  // namespace snug::SNUG_TARGET
