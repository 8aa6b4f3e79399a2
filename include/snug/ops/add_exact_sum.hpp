// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <snug/kernels/exact_sum.hpp>
#include <snug/ops/operation.hpp>

namespace snug::SNUG_TARGET::operation {
struct add_exact_sum;
}  // namespace snug::SNUG_TARGET::operation

namespace snug::SNUG_TARGET::ops {

template <class Backend, class Value>
concept has_add_exact_sum = takes_bodies_for_granted ||
    requires(Backend on, index_t rows, index_t width, kernels::exact_sum* total, Value const& value) {
    add_exact_sum_on(on, rows, width, total, value);
};

/// *total += Σ of value(i) for i below rows · width, of numbers that are not negative. Each row is cut into
/// runs of `exact_sum::run` numbers, which are summed in double precision and in a fixed order; the runs are
/// summed exactly. So the bits of the total depend on where rows begin only: not on threads, and not on which
/// of several totals, merged later, a run was added to.
template <class Backend, class Value>
inline void add_exact_sum(Backend on, index_t rows, index_t width, kernels::exact_sum* total,
                          Value const& value) {
    if constexpr (has_add_exact_sum<Backend, Value>) add_exact_sum_on(on, rows, width, total, value);
    else (void)sizeof(missing_body<Backend, operation::add_exact_sum, Value>);
}

}  // namespace snug::SNUG_TARGET::ops
