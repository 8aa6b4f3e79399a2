// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <snug/ops/bound.hpp>
#include <snug/ops/operation.hpp>

namespace snug::SNUG_TARGET::operation {
struct add_sum;
}  // namespace snug::SNUG_TARGET::operation

namespace snug::SNUG_TARGET::ops {

/// Partial sums that `add_sum` needs room for.
inline constexpr index_t sum_partials = 1024;

template <class Backend, class Value>
concept has_add_sum = takes_bodies_for_granted ||
    requires(Backend on, index_t count, double* partials, double* total, Value const& value) {
    add_sum_on(on, count, partials, total, value);
};

/// *total += Σ of value(i) for i below `count`, in double precision and in a fixed order; `partials` has room
/// for `sum_partials`. On a device the sum is there when the device gets there.
template <class Backend, class Value>
inline void add_sum(Backend on, index_t count, double* partials, double* total, Value const& value) {
    if constexpr (has_add_sum<Backend, Value>) add_sum_on(on, count, partials, total, value);
    else (void)sizeof(missing_body<Backend, operation::add_sum, Value>);
}

}  // namespace snug::SNUG_TARGET::ops
