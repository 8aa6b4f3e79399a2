// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <concepts>
#include <snug/meta.hpp>

namespace snug {

/// The axes of a trainer. Every policy belongs to exactly one, and says so with `using axis = snug::axis::...;`.
namespace axis {
struct model {};
struct batch {};
struct precision {};
struct quantization {};
struct adapters {};
struct accumulation {};
struct checkpointing {};
struct sharding {};
struct transport {};
struct optimizer {};
struct where {};

using all = meta::list<model, batch, precision, quantization, adapters, accumulation, checkpointing, sharding,
                       transport, optimizer, where>;
}  // namespace axis

}  // namespace snug

namespace snug::SNUG_TARGET {

/// A policy is a struct that names its axis. It needs no base class and no registration; what else it must
/// offer is the concept of its axis (`precision_policy`, `optimizer_policy`, ...; see docs/policies.md).
template <class P>
concept policy = requires {
    typename P::axis;
}
&&meta::contains<axis::all, typename P::axis>;

/// Refusals: the name of the type is the sentence, its arguments are the evidence, and the assertion says what to change.
/// `holds` is the condition once more, so that whoever asks can stop at the first cause.
namespace refusal {

template <class Given>
struct this_template_argument_is_not_a_policy {
    static constexpr bool names_an_axis = requires { typename Given::axis; };
    static constexpr bool holds = policy<Given>;
    static_assert(
        names_an_axis,
        "snug: a template argument of snug::trainer is not a policy (see Given). A policy is a struct "
        "with 'using axis = snug::axis::...;': models, snug::batch, snug::precision::..., and so on");
    static_assert(holds || !names_an_axis,
                  "snug: the axis of a policy is not one of snug's (see Given, and namespace snug::axis)");
};

template <class Axis, class... Given>
struct two_policies_for_one_axis {
    static constexpr bool holds = sizeof...(Given) < 2;
    static_assert(holds, "snug: an axis was given two policies (see Axis and Given). Keep one of them");
};

template <class Axis, class... Given>
struct a_required_axis_is_missing {
    static constexpr bool holds = sizeof...(Given) > 0;
    static_assert(holds,
                  "snug: a required axis has no policy (see Axis). A trainer needs a model, such as "
                  "snug::models::gpt2_124m, and a snug::batch<sequences, tokens>");
};

}  // namespace refusal

namespace detail {

template <class Axis>
struct on_axis {
    template <class P>
    using fn = std::is_same<typename P::axis, Axis>;
};

template <class Axis, class... Policies>
using given_for = meta::mp::mp_copy_if_q<meta::list<Policies...>, on_axis<Axis>>;

/// Instantiates refusals, in the body of a class: a function or a variable in whose instantiation Clang meets an error is
/// not a constant any more, which it reports as further errors.
template <class... Refusals>
struct accepted {
    static_assert((sizeof(Refusals) * ... * 1) > 0);
    static constexpr bool value = (Refusals::holds && ... && true);
};

/// Refuses by axis: `Refusal<Axis, the policies given for it...>`.
template <template <class...> class Refusal, class Axes, class... Policies>
struct accepted_by_axis;
template <template <class...> class Refusal, class... Axes, class... Policies>
struct accepted_by_axis<Refusal, meta::list<Axes...>, Policies...>
    : accepted<meta::mp::mp_apply<Refusal, meta::mp::mp_push_front<given_for<Axes, Policies...>, Axes>>...> {
};

}  // namespace detail

/// The policy given for an axis, or `Default` when there is none.
template <class Axis, class Default, class... Policies>
using pick = meta::mp::mp_front<meta::mp::mp_push_back<detail::given_for<Axis, Policies...>, Default>>;

}  // namespace snug::SNUG_TARGET
