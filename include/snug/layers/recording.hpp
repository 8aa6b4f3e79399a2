// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <snug/layers/layer.hpp>

namespace snug {

/// Walks over a model without running it: every call of a leaf becomes a position of the schedule.
template <std::size_t Buffers>
struct recording_walker {
    recorder<Buffers> record{};

    template <class Node, bool Added>
    constexpr void forward(buffer_reference x, buffer_reference y, buffer_reference base) {
        touch<Node>(pass::forward, x, y, base);
    }

    template <class Node, class Elementwise>
    constexpr void forward_through(buffer_reference x, buffer_reference between, buffer_reference y) {
        touch<Node>(pass::forward, x, between, y);
    }

    template <class Node>
    constexpr void save(buffer_reference x) {
        touch<Node>(pass::forward, x);
    }

    template <class Node, bool Added>
    constexpr void backward(buffer_reference x, buffer_reference y, buffer_reference dy, buffer_reference dx,
                            buffer_reference base) {
        using L = typename Node::type;
        touch<Node>(pass::backward, layer::backward_reads_input<L> ? x : buffer_reference{},
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
        touch<Node>(pass::forward, x, targets);
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
            if (known) continue;
            if (count == 3) throw "snug: more than three buffers stand behind one reference";
            found[count++] = id;
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
    /// One position: what is given, the saved buffers, and the workspace.
    template <class Node, class... References>
    constexpr void touch(pass which, References... given) {
        record.call(given...);
        for (int i = 0; i < Node::saved_count; ++i) record.also(Node::saved(i));
        record.also(Node::workspace(which));
    }
};

}  // namespace snug
