// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <snug/ops/operation.hpp>

namespace snug::SNUG_TARGET::operation {
struct copy;
}  // namespace snug::SNUG_TARGET::operation

namespace snug::SNUG_TARGET::ops {

/// Slots of the optimizer's pages, of which one is worked on while the other travels. Behind them those of offloaded
/// inputs of blocks, and those of other values that are offloaded: one is worked on, and each of the others has the
/// time of two blocks to travel.
inline constexpr int page_slots = 2;
inline constexpr int offload_slots = 3;
inline constexpr int all_slots = page_slots + 2 * offload_slots;

template <class Backend>
concept has_page_in = takes_bodies_for_granted ||
    requires(Backend on, int slot, void* to, void const* from, std::size_t size) {
    page_in_on(on, slot, to, from, size);
};
template <class Backend>
concept has_page_is_here = takes_bodies_for_granted || requires(Backend on, int slot) {
    page_is_here_on(on, slot);
};
template <class Backend>
concept has_page_out = takes_bodies_for_granted ||
    requires(Backend on, int slot, void* to, void const* from, std::size_t size) {
    page_out_on(on, slot, to, from, size);
};
template <class Backend>
concept has_page_is_away = takes_bodies_for_granted || requires(Backend on, int slot) {
    page_is_away_on(on, slot);
};
template <class Backend>
concept has_pages_are_away = takes_bodies_for_granted || requires(Backend on) {
    pages_are_away_on(on);
};

/// Pages travel between paged memory and slots of the backend's, where a backend can beside the other
/// operations: into a slot when the last page that was there is away again, ...
template <class Backend>
inline void page_in(Backend on, int slot, void* to, void const* from, std::size_t size) {
    if constexpr (has_page_in<Backend>) page_in_on(on, slot, to, from, size);
    else (void)sizeof(missing_body<Backend, operation::copy>);
}
/// ... before the operations that come after this, ...
template <class Backend>
inline void page_is_here(Backend on, int slot) {
    if constexpr (has_page_is_here<Backend>) page_is_here_on(on, slot);
    else (void)sizeof(missing_body<Backend, operation::copy>);
}
/// ... out of it after the operations that came before, ...
template <class Backend>
inline void page_out(Backend on, int slot, void* to, void const* from, std::size_t size) {
    if constexpr (has_page_out<Backend>) page_out_on(on, slot, to, from, size);
    else (void)sizeof(missing_body<Backend, operation::copy>);
}
/// ... that of a slot away before the operations that come after this, ...
template <class Backend>
inline void page_is_away(Backend on, int slot) {
    if constexpr (has_page_is_away<Backend>) page_is_away_on(on, slot);
    else (void)sizeof(missing_body<Backend, operation::copy>);
}
/// ... and those of the optimizer all away.
template <class Backend>
inline void pages_are_away(Backend on) {
    if constexpr (has_pages_are_away<Backend>) pages_are_away_on(on);
    else (void)sizeof(missing_body<Backend, operation::copy>);
}

}  // namespace snug::SNUG_TARGET::ops
