// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <snug/engine/store.hpp>
#include <snug/ops/pages.hpp>
#include <snug/optimizers/state_block.hpp>
#include <tuple>
#include <utility>

/// Movement between the host's memory and the planned pages of the device: two pages of each array, of which
/// one is worked on while the other travels.
namespace snug::SNUG_TARGET::engine {

template <class C, class... Units, class F, std::size_t... S>
void stream_pages(store<C> const& s, index_t count, F const& f, std::index_sequence<S...>, Units*... away) {
    auto const on = s.on();
    auto const count_at = [&](index_t first) { return std::min(page_elements, count - first); };
    auto const slot_of = [](index_t first) { return static_cast<int>(first / page_elements % 2); };
    auto const page = [&]<class Unit>(index_t first, std::size_t which, Unit*) {
        return s.template at<Unit>(C::places.pages, 2 * static_cast<index_t>(which) + slot_of(first));
    };
    auto const size_at = [&]<class Unit>(index_t first, Unit*) {
        return static_cast<std::size_t>(optimizers::units_for<Unit>(count_at(first))) * sizeof(Unit);
    };
    auto const from = [](index_t first, auto* all) {
        return all + first / optimizers::elements_of_unit<std::remove_pointer_t<decltype(all)>>;
    };
    auto const bring = [&](index_t first) {
        (ops::page_in(on, slot_of(first), page(first, S, away), from(first, away), size_at(first, away)),
         ...);
    };
    bring(0);
    for (index_t first = 0; first < count; first += page_elements) {
        // The next page travels while this one is worked on.
        if (first + page_elements < count) bring(first + page_elements);
        ops::page_is_here(on, slot_of(first));
        f(first, count_at(first), page(first, S, away)...);
        (ops::page_out(on, slot_of(first), from(first, away), page(first, S, away), size_at(first, away)),
         ...);
    }
}

/// f(first, count, pages...) for runs of the `count` elements that these arrays of the host's memory hold, in
/// units of elements or blocks, with the run of each array in device memory; what f changes there is changed
/// in the arrays.
template <class C, class F, class... Units>
void stream_pages(store<C> const& s, index_t count, F const& f, Units*... away) {
    stream_pages(s, count, f, std::index_sequence_for<Units...>{}, away...);
}

}  // namespace snug::SNUG_TARGET::engine
