// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <snug/layers/layer.hpp>
#include <tuple>

namespace snug::SNUG_TARGET {

/// Walks over a model without running it: every call of a leaf becomes a position of the schedule.
template <std::size_t Buffers>
struct recording_walker {
    recorder<Buffers> record{};

    /// One position: what the call touches, the saved buffers, and the workspace.
    template <class Call>
    constexpr void leaf(Call const& call) {
        using Node = typename Call::node;
        std::apply([&](auto... buffers) { record.call(buffers...); }, call.touched());
        for (int i = 0; i < Node::saved_count; ++i) record.also(Node::saved(i));
        record.also(Node::workspace(Call::which));
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
    constexpr void offload(offload_step, bool, int, buffer_reference here, buffer_reference away) {
        record.call(here, away);
    }
    template <class... References>
    constexpr void use(References... references) {
        record.call(references...);
    }
};

}  // namespace snug::SNUG_TARGET
