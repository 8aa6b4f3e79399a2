// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <snug/engine/executor.hpp>
#include <snug/engine/store.hpp>
#include <snug/kernels/elements.hpp>
#include <snug/layers/hooks.hpp>
#include <snug/ops/backend.hpp>
#include <span>

/// What follows when weights were changed.
namespace snug::engine {

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

/// The master copy of parameter p follows its weights.
template <class C>
void refresh_master(store<C>& s, int p) {
    if constexpr (C::has_master) {
        auto const masters = s.masters(p);
        // Not a plain loop: g++ 12 takes one that copies between elements of two sizes in one allocation for
        // a function without effects, and drops the call.
        ops::for_each_element(
            s.on(), static_cast<index_t>(masters.size()),
            ops::bound<kernels::convert>(
                static_cast<typename C::precision::weight const*>(s.weights(p).data()), masters.data()));
    }
}

/// And the other way round.
template <class C>
void refresh_weights(store<C>& s, int p) {
    if constexpr (C::has_master) {
        auto const masters = s.masters(p);
        ops::for_each_element(
            s.on(), static_cast<index_t>(masters.size()),
            ops::bound<kernels::convert>(static_cast<typename C::updated const*>(masters.data()),
                                         s.weights(p).data()));
    }
}

}  // namespace snug::engine
