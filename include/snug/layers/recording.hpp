// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <snug/layers/layer.hpp>

namespace snug {

/// Walks over a model without running it: every call of a leaf becomes a position of the schedule.
template <std::size_t Buffers, class Checkpointing>
struct recording_walker {
    using checkpointing = Checkpointing;
    recorder<Buffers> record{};

    template <class Node, bool Added>
    constexpr void forward(buffer_reference x, buffer_reference y, buffer_reference base) {
        touch<Node>(saved_count<Node>, x, y, base);
    }

    template <class Node, class Elementwise>
    constexpr void forward_through(buffer_reference x, buffer_reference between, buffer_reference y) {
        touch<Node>(saved_count<Node>, x, between, y);
    }

    template <class Node>
    constexpr void save(buffer_reference x) {
        touch<Node>(saved_count<Node>, x);
    }

    template <class Node, bool Added>
    constexpr void backward(buffer_reference x, buffer_reference y, buffer_reference dy, buffer_reference dx,
                            buffer_reference base) {
        using L = typename Node::type;
        touch<Node>(saved_count<Node> + 1, layer::backward_reads_input<L> ? x : buffer_reference{},
                    layer::backward_reads_output<L> ? y : buffer_reference{}, dy, dx, base);
    }

    template <class Node, class Elementwise>
    constexpr void backward_through(buffer_reference x, buffer_reference y, buffer_reference dy,
                                    buffer_reference between, buffer_reference dx) {
        backward<Node, true>(x, y, dy, dx, between);
    }

    /// The head: forward and backward at once, the gradient takes the place of x.
    template <class Node, class TiedNode>
    constexpr void loss(buffer_reference x, buffer_reference targets) {
        touch<Node>(saved_count<Node>, x, targets);
    }

    template <class Body>
    constexpr void loop(index_t, Body const& body) {
        record.begin_loop();
        body(index_t{0});
        record.end_loop();
    }

    constexpr buffer_reference select(bool, buffer_reference a, buffer_reference b) const {
        // Either may run: both are in use. At most three buffers can stand behind one reference.
        int ids[] = {a.id, a.other, a.another, b.id, b.other, b.another};
        int found[3] = {-1, -1, -1};
        int count = 0;
        for (int id : ids) {
            bool known = id < 0;
            for (int i = 0; i < count; ++i) known = known || found[i] == id;
            if (!known) found[count++] = id;
        }
        return {found[0], -1, found[1], found[2]};
    }

    constexpr void enter_block(index_t) {}
    constexpr void release(int first, int last) { record.release(first, last); }
    constexpr void carry(buffer_reference buffer) { record.call(buffer); }
    template <class... References>
    constexpr void use(References... references) {
        record.call(references...);
    }

  private:
    template <class Node>
    static constexpr int saved_count = static_cast<int>(meta::size<layer::saved<typename Node::type>>);

    /// One position: what is given, the saved buffers, and the workspace, which is declared behind them.
    template <class Node, class... References>
    constexpr void touch(int workspace, References... given) {
        record.call(given...);
        for (int i = 0; i < saved_count<Node>; ++i) record.also(Node::first_buffer + i);
        record.also(Node::first_buffer + workspace);
    }
};

}  // namespace snug
