// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <concepts>
#include <snug/meta.hpp>

namespace snug {

/// The axes of a trainer. Every policy belongs to exactly one, and says so with `using axis = snug::axis::...;`.
/// `name` is what refusals call it.
namespace axis {
struct model { static constexpr auto name = "model"; };
struct batch { static constexpr auto name = "batch"; };
struct precision { static constexpr auto name = "precision"; };
struct quantization { static constexpr auto name = "quantization"; };
struct adapters { static constexpr auto name = "adapters"; };
struct accumulation { static constexpr auto name = "accumulation"; };
struct checkpointing { static constexpr auto name = "checkpointing"; };
struct sharding { static constexpr auto name = "sharding"; };
struct optimizer { static constexpr auto name = "optimizer"; };
struct where { static constexpr auto name = "where"; };

using all = meta::list<model, batch, precision, quantization, adapters, accumulation, checkpointing, sharding,
                       optimizer, where>;
}  // namespace axis

/// A policy is a struct that names its axis. It needs no base class and no registration; what else it must
/// offer is the concept of its axis (`precision_policy`, `optimizer_policy`, ...; see docs/policies.md).
template <class P>
concept policy = requires { typename P::axis; } && meta::contains<axis::all, typename P::axis>;

/// Refusals: the name of the type is the sentence, its arguments are the evidence, and the assertion says
/// what to change. They are instantiated before anything depends on what they check.
namespace refusal {

template <class Given>
struct this_template_argument_is_not_a_policy {
    static_assert(policy<Given>,
                  "snug: a template argument of snug::trainer is not a policy (see Given). A policy is a struct "
                  "with `using axis = snug::axis::...;`: models, snug::batch, snug::precision::..., and so on");
};

template <class Axis, class... Given>
struct two_policies_for_one_axis {
    static_assert(sizeof...(Given) < 2,
                  "snug: an axis was given two policies (see Axis and Given). Keep one of them");
};

template <class Axis, class... Given>
struct a_required_axis_is_missing {
    static_assert(sizeof...(Given) > 0,
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

}  // namespace detail

/// The policy given for an axis, or `Default` when there is none.
template <class Axis, class Default, class... Policies>
struct pick {
    using given = detail::given_for<Axis, Policies...>;
    static_assert(sizeof(meta::mp::mp_apply<refusal::two_policies_for_one_axis,
                                            meta::mp::mp_push_front<given, Axis>>) > 0);
    using type = meta::mp::mp_front<meta::mp::mp_push_back<given, Default>>;
};

/// The policy given for an axis that has no default.
template <class Axis, class... Policies>
struct pick_required {
    using given = detail::given_for<Axis, Policies...>;
    static_assert(sizeof(meta::mp::mp_apply<refusal::two_policies_for_one_axis,
                                            meta::mp::mp_push_front<given, Axis>>) > 0);
    static_assert(
        sizeof(meta::mp::mp_apply<refusal::a_required_axis_is_missing, meta::mp::mp_push_front<given, Axis>>) > 0);
    using type = meta::mp::mp_front<meta::mp::mp_push_back<given, void>>;
};

}  // namespace snug
