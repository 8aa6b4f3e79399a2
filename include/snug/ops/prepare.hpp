// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <snug/ops/operation.hpp>
#include <type_traits>

namespace snug::SNUG_TARGET::operation {
struct prepare;
}  // namespace snug::SNUG_TARGET::operation

namespace snug::SNUG_TARGET::ops {

/// The context of a backend that needs none.
template <class Backend>
struct no_context {
    Backend on() const { return {}; }
};
template <class Backend>
struct context_of {
    using type = no_context<Backend>;
};
template <class Backend>
    requires requires { typename Backend::context; }
struct context_of<Backend> {
    using type = typename Backend::context;
};
/// Owns what operations need to run on a backend (a device's stream, a library's handle): `on()` is the first
/// argument of all operations for as long as the owner lives. `Backend::context` where there is one,
/// move-only.
template <class Backend>
using context = typename context_of<Backend>::type;

template <class Backend, class Bill>
concept has_prepare = takes_bodies_for_granted || requires(Bill const& bill) {
    prepare_on(Backend{}, bill);
};

/// Before a trainer gets its memory, which `bill` is about: a context for it. Throws `snug::error` where it
/// cannot run.
template <class Backend, class Bill>
context<Backend> prepare(Bill const& bill) {
    if constexpr (has_prepare<Backend, Bill>) {
        if constexpr (std::is_same_v<context<Backend>, no_context<Backend>>) {
            prepare_on(Backend{}, bill);
            return {};
        } else {
            return prepare_on(Backend{}, bill);
        }
    } else {
        (void)sizeof(missing_body<Backend, operation::prepare>);
        return {};
    }
}

}  // namespace snug::SNUG_TARGET::ops
