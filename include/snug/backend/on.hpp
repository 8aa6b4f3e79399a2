// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <snug/policy.hpp>

namespace snug::SNUG_TARGET {

/// Where a trainer runs: `on<host>`.
template <class Backend>
struct on {
    using axis = snug::axis::where;
    using backend = Backend;
};

/// A backend is a type that says how much workspace its operations need; their bodies are found where it is
/// declared (snug/ops). Its values are execution contexts, the first argument of every operation. One made by
/// default serves where nothing but the type is asked for; where there is nothing to know (the host), it is a
/// context too.
template <class B>
concept backend_tag = requires {
    { B::template matmul_workspace<float>(index_t{1}, index_t{1}) } -> std::convertible_to<index_t>;
};

template <class P>
concept where_policy =
    policy<P> && std::same_as<typename P::axis, axis::where> && backend_tag<typename P::backend>;

namespace refusal {

template <class Policy>
struct this_is_not_a_place_to_run {
    static constexpr bool is_a_place = where_policy<Policy>;
    static constexpr bool has_threads = !requires { requires Policy::backend::max_threads < 1; };
    static constexpr bool holds = is_a_place && has_threads;
    static_assert(has_threads,
                  "snug: snug::host_threads<N> runs on N threads or fewer, so N is at least 1 (see Policy)");
    static_assert(
        is_a_place,
        "snug: a policy of the axis where needs 'using backend', a tag such as snug::host (see Policy): "
        "write snug::on<snug::host>");
};

}  // namespace refusal

}  // namespace snug::SNUG_TARGET
