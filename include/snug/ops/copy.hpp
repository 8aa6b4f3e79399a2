// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <snug/ops/operation.hpp>

namespace snug::SNUG_TARGET::operation {
struct copy;
}  // namespace snug::SNUG_TARGET::operation

namespace snug::SNUG_TARGET::ops {

template <class Backend>
concept has_copy_in = takes_bodies_for_granted ||
    requires(Backend on, void* to, void const* from, std::size_t size) {
    copy_in_on(on, to, from, size);
};

/// Copies `size` bytes from the program's memory into the backend's, in the order of the operations; `from`
/// may be changed as soon as this returns.
template <class Backend>
inline void copy_in(Backend on, void* to, void const* from, std::size_t size) {
    if constexpr (has_copy_in<Backend>) copy_in_on(on, to, from, size);
    else (void)sizeof(missing_body<Backend, operation::copy>);
}

template <class Backend>
concept has_copy_out = takes_bodies_for_granted ||
    requires(Backend on, void* to, void const* from, std::size_t size) {
    copy_out_on(on, to, from, size);
};

/// The same from the backend's memory into the program's; waits until it is there.
template <class Backend>
inline void copy_out(Backend on, void* to, void const* from, std::size_t size) {
    if constexpr (has_copy_out<Backend>) copy_out_on(on, to, from, size);
    else (void)sizeof(missing_body<Backend, operation::copy>);
}

template <class Backend>
concept has_copies_are_done = takes_bodies_for_granted || requires(Backend on) {
    copies_are_done_on(on);
};

/// Waits until all copies so far are done: pinned memory that `copy_in` reads may be changed afterwards.
template <class Backend>
inline void copies_are_done(Backend on) {
    if constexpr (has_copies_are_done<Backend>) copies_are_done_on(on);
    else (void)sizeof(missing_body<Backend, operation::copy>);
}

}  // namespace snug::SNUG_TARGET::ops
