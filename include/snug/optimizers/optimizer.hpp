// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <cstdint>
#include <snug/memory/declaration.hpp>
#include <snug/policy.hpp>
#include <snug/precision/policies.hpp>

namespace snug {

namespace refusal {

template <class T>
struct the_states_of_an_optimizer_are_floating_point {
    static_assert(element_type<T>,
                  "snug: an optimizer's states are floating point: snug::fp32, snug::fp64, snug::bf16, or a "
                  "format of your own "
                  "that converts from and to float (see T)");
};

template <class Given>
struct adamw_takes_states_of_a_type {
    static constexpr bool holds = requires { typename Given::element; };
    static_assert(holds,
                  "snug: the argument of optimizers::adamw is the type of its states, written "
                  "adamw<states<snug::fp32>> "
                  "(see Given)");
};

}  // namespace refusal

/// A state of an optimizer: one element of type T for every trained element.
template <text Name, class T>
struct optimizer_state {
    static_assert(sizeof(refusal::the_states_of_an_optimizer_are_floating_point<T>) > 0);
    static constexpr auto name = Name;
    using element = T;
};

/// The run-time numbers that every optimizer is given in a step.
struct update_numbers {
    double learning_rate = 0;
    double weight_decay = 0;    ///< 0 for tensors that do not decay (vectors)
    double gradient_scale = 1;  ///< clipping by the global norm
    std::int64_t step = 1;      ///< counts from 1
};

/// What an optimizer policy offers: `states`, a list of `optimizer_state`; `rule(numbers)`, a callable computed once per
/// step and tensor; and the rule itself, `rule(weight, gradient, states&...) -> new weight`, pure arithmetic of one
/// element on every backend. `options` holds its run-time numbers.
template <class P>
concept optimizer_policy = policy<P> && std::same_as<typename P::axis, axis::optimizer> && requires {
    typename P::states;
    typename P::options;
    P::rule(typename P::options{}, update_numbers{});
};

namespace refusal {

template <class Policy>
struct this_is_not_an_optimizer {
    static constexpr bool holds = optimizer_policy<Policy>;
    static_assert(
        requires { typename Policy::states; },
        "snug: a policy of the axis optimizer needs 'using states', a list of snug::optimizer_state (see "
        "Policy)");
    static_assert(
        requires { typename Policy::options; },
        "snug: a policy of the axis optimizer needs 'struct options', its run-time numbers (see Policy)");
    static_assert(
        holds ||
            !requires {
                typename Policy::states;
                typename Policy::options;
            },
        "snug: a policy of the axis optimizer needs 'static auto rule(options, snug::update_numbers)', which "
        "gives "
        "the update of one element (see Policy)");
};

}  // namespace refusal

}  // namespace snug
