// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <snug/engine/executor.hpp>
#include <snug/engine/store.hpp>
#include <snug/kernels/elements.hpp>
#include <snug/layers/hooks.hpp>
#include <snug/ops/for_each_element.hpp>
#include <span>

/// What follows when weights were changed.
namespace snug::SNUG_TARGET::engine {

/// Everything on these lines of the bill.
template <class C>
void set_to_zero(store<C> const& s, role line) {
    for (std::size_t id = 0; id < C::plan.declarations.size(); ++id) {
        auto const& declared = C::plan.declarations[id];
        if (declared.line == line)
            ops::for_each_element(
                s.on(), declared.size().count,
                ops::bound<kernels::set_to_zero>(s.template at<unsigned char>({static_cast<int>(id), 0, 0})));
    }
}

/// Nothing is accumulated.
template <class C>
void clear_gradients(store<C>& s) {
    set_to_zero(s, role::gradient);
    s.done.accumulated = 0;
    s.done.accumulated_batches = 0;
    s.done.vanished = 0;
}

/// The optimizer knows nothing of steps before.
template <class C>
void clear_states(store<C>& s) {
    set_to_zero(s, role::optimizer_state);
    clear_gradients(s);
}

/// Training begins with the weights as they are now: gradients and states were those of others.
template <class C>
void begin_anew(store<C>& s) {
    clear_states(s);
    s.done.steps = 0;
    s.done.scale = {};
}

/// Derived parameters follow the others, and keys and values of earlier tokens are those of other weights.
template <class C>
void refresh_derived(store<C>& s) {
    s.done.kept = 0;
    if constexpr (C::has_derived)
        for_each_leaf(
            s, []<class Node>(auto const& call, index_t) { layer::refresh<typename Node::type>(call); });
}

/// The numbers of one array of parameter p in the type of another, where a process holds both.
template <class From, class To, class C>
void convert(store<C> const& s, int p, region from, region to) {
    if (from.declaration < 0 || to.declaration < 0) return;
    auto const memory = s.view();
    auto const which = part_of(from) == part::own ? part::own : part_of(to);
    // Not a plain loop: g++ 12 takes one that copies between elements of two sizes in one allocation for a
    // function without effects, and drops the call.
    memory.for_each_stretch(p, which, [&](index_t first, index_t count) {
        ops::for_each_element(
            s.on(), count,
            ops::bound<kernels::convert>(static_cast<From const*>(memory.template in<From>(from, p, first)),
                                         memory.template in<To>(to, p, first)));
    });
}

/// The master copy of parameter p follows its weights; where it has none, nothing happens.
template <class C>
void refresh_master(store<C>& s, int p) {
    if constexpr (C::has_master)
        convert<typename C::precision::weight, typename C::updated>(s, p, C::weight(p), C::master(p));
}

/// And the other way round.
template <class C>
void refresh_weights(store<C>& s, int p) {
    if constexpr (C::has_master)
        convert<typename C::updated, typename C::precision::weight>(s, p, C::master(p), C::weight(p));
}

}  // namespace snug::SNUG_TARGET::engine
