// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <snug/target.hpp>
#include <type_traits>

namespace snug::SNUG_TARGET {

namespace refusal {

template <int Count>
struct there_is_at_least_one_rank {
    static_assert(Count >= 1, "snug: snug::ranks<N> counts the processes of a trainer, so N is at least 1");
};

}  // namespace refusal

/// So many processes, each with a rank from 0 on. A part of the trainer's type: every rank has the same plan.
template <int Count>
struct ranks : std::integral_constant<int, Count> {
    static_assert(sizeof(refusal::there_is_at_least_one_rank<Count>) > 0);
    static constexpr int count = Count;
};

}  // namespace snug::SNUG_TARGET
