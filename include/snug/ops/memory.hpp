// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <snug/memory/arena.hpp>
#include <snug/ops/operation.hpp>

namespace snug::SNUG_TARGET::operation {
struct memory;
}  // namespace snug::SNUG_TARGET::operation

namespace snug::SNUG_TARGET::ops {

template <class Backend>
concept has_memory = takes_bodies_for_granted || requires {
    memory_on(Backend{});
};

/// The calls that give a trainer its memory, ready for use: a backend's own, or the program's.
template <class Backend>
memory_calls const& memory() {
    if constexpr (has_memory<Backend>) return memory_on(Backend{});
    else {
        (void)sizeof(missing_body<Backend, operation::memory>);
        return memory_seam();
    }
}

template <class Backend>
concept has_paged_memory = takes_bodies_for_granted || requires {
    paged_memory_on(Backend{});
};

/// The same for paged memory, which is the program's but may have to be pinned.
template <class Backend>
memory_calls const& paged_memory() {
    if constexpr (has_paged_memory<Backend>) return paged_memory_on(Backend{});
    else {
        (void)sizeof(missing_body<Backend, operation::memory>);
        return memory_seam();
    }
}

}  // namespace snug::SNUG_TARGET::ops
