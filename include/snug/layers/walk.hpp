// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <snug/layers/traits.hpp>
#include <snug/memory/recorder.hpp>

/// A walk over a model: composites pass on, leaves are what the walker is called for.
namespace snug {

namespace layer {

/// Forward has something to leave for backward beside the output.
template <class L>
inline constexpr bool saves_anything = (meta::size<saved<L>>) != 0;

/// y = layer(x), or y = base + layer(x) when `Added`. A `y` without a buffer: nobody needs the output.
template <class Node, bool Added, class Walker>
constexpr void forward(Walker& walker, buffer_reference x, buffer_reference y, buffer_reference base) {
    using L = typename Node::type;
    if constexpr (composite<L>) {
        L::template walk_forward<Node, Added>(walker, x, y, base);
    } else {
        if constexpr (!backward_reads_output<L>)
            if (y.id < 0) {
                if constexpr (saves_anything<L>) walker.template save<Node>(x);
                return;
            }
        walker.template forward<Node, Added>(x, y, base);
    }
}

/// dx = layer'(x)ᵀ dy, or dx = base + layer'(x)ᵀ dy when `Added`; adds to the gradients of the parameters.
template <class Node, bool Added, class Walker>
constexpr void backward(Walker& walker, buffer_reference x, buffer_reference y, buffer_reference dy,
                        buffer_reference dx, buffer_reference base) {
    using L = typename Node::type;
    if constexpr (composite<L>) L::template walk_backward<Node, Added>(walker, x, y, dy, dx, base);
    else walker.template backward<Node, Added>(x, y, dy, dx, base);
}

}  // namespace layer

}  // namespace snug
