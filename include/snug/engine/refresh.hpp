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

template <class C, class T>
void set_to_zero(store<C> const& s, std::span<T> values) {
    ops::for_each_element(s.on(), static_cast<index_t>(values.size()),
                          ops::bound<kernels::set_to_zero>(values.data()));
}

/// Nothing is accumulated.
template <class C>
void clear_gradients(store<C>& s) {
    for (int p = 0; p < C::parameters; ++p) set_to_zero(s, s.gradients(p));
    s.done.accumulated = 0;
    s.done.accumulated_batches = 0;
    s.done.vanished = 0;
}

/// The optimizer knows nothing of steps before.
template <class C>
void clear_states(store<C>& s) {
    for (int p = 0; p < C::parameters; ++p)
        for (int which = 0; which < C::state_count; ++which)
            set_to_zero(s, s.template elements<unsigned char>(C::state(which, p)));
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
        for_each_leaf(s.view(), s.on(), []<class Node>(auto const& call, index_t) {
            layer::refresh<typename Node::type>(call);
        });
}

/// The numbers of one array in the type of another, as far as both go.
template <class C, class From, class To>
void convert(store<C> const& s, std::span<From> from, std::span<To> to) {
    // Not a plain loop: g++ 12 takes one that copies between elements of two sizes in one allocation for a
    // function without effects, and drops the call.
    ops::for_each_element(s.on(), static_cast<index_t>(std::min(from.size(), to.size())),
                          ops::bound<kernels::convert>(static_cast<From const*>(from.data()), to.data()));
}

/// The master copy of parameter p follows its weights; where it has none, nothing happens.
template <class C>
void refresh_master(store<C>& s, int p) {
    if constexpr (C::has_master) convert(s, s.weights(p), s.masters(p));
}

/// And the other way round.
template <class C>
void refresh_weights(store<C>& s, int p) {
    if constexpr (C::has_master) convert(s, s.masters(p), s.weights(p));
}

}  // namespace snug::SNUG_TARGET::engine
