// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <snug/memory/arena.hpp>
#include <snug/ops/operation.hpp>

namespace snug::SNUG_TARGET::operation {
struct memory;
}  // namespace snug::SNUG_TARGET::operation

namespace snug::SNUG_TARGET::ops {

/// The calls that give a trainer its memory, ready for use: a backend's own, or the program's.
template <class Backend>
memory_calls const& memory() {
    if constexpr (takes_bodies_for_granted || requires { memory_on(Backend{}); }) return memory_on(Backend{});
    else {
        (void)sizeof(missing_body<Backend, operation::memory>);
        return memory_seam();
    }
}
/// The same for paged memory, which is the program's but may have to be pinned.
template <class Backend>
memory_calls const& paged_memory() {
    if constexpr (takes_bodies_for_granted || requires { paged_memory_on(Backend{}); })
        return paged_memory_on(Backend{});
    else {
        (void)sizeof(missing_body<Backend, operation::memory>);
        return memory_seam();
    }
}

}  // namespace snug::SNUG_TARGET::ops
