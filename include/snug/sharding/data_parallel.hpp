// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <snug/policy.hpp>
#include <snug/sharding/options.hpp>
#include <snug/sharding/ranks.hpp>

namespace snug::SNUG_TARGET::sharding {

/// Every rank holds the whole model and works on its own batch; gradients are added in the order of ranks.
/// Options: `reduced<at_the_end>` (the default) or `reduced<each_micro_batch>`, `bucket<32_MiB>`, `wire<bf16>`.
template <class Ranks, class... Options>
struct data_parallel : detail::chosen_options<Options...> {
    static_assert(sizeof(refusal::a_sharding_takes_the_number_of_ranks<Ranks>) > 0);
    static_assert((sizeof(refusal::this_is_not_an_option_of_sharding<Options>) * ... * 1) > 0);

    using axis = snug::axis::sharding;
    static constexpr int ranks = Ranks::count;
    static constexpr int replicas = 1;
    static constexpr int stage = 0;
    static constexpr bool reduces_each_micro_batch =
        std::is_same_v<typename detail::reduction_of<at_the_end, Options...>::type, each_micro_batch>;
};

}  // namespace snug::SNUG_TARGET::sharding
