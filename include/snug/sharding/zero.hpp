// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <snug/policy.hpp>
#include <snug/sharding/options.hpp>
#include <snug/sharding/ranks.hpp>

namespace snug::SNUG_TARGET {

namespace refusal {

template <int Stage>
struct zero_has_the_stages_1_2_and_3 {
    static_assert(Stage >= 1 && Stage <= 3,
                  "snug: sharding::zero<Stage, ranks<N>> has stage 1 (optimizer states and master copy are "
                  "sharded), 2 (gradients too) and 3 (weights too); stage 0 is sharding::data_parallel");
};

template <int Stage, class Reduction>
struct zero_2_and_3_reduce_each_micro_batch {
    static_assert(Stage < 2 || std::is_same_v<Reduction, sharding::each_micro_batch>,
                  "snug: zero<2> and zero<3> keep a share of the gradients only, so they are added each "
                  "micro-batch: leave reduced<at_the_end> out, or use zero<1>");
};

template <int Stage, class Reduction>
struct zero_1_reduces_at_the_end {
    static_assert(
        Stage != 1 || std::is_same_v<Reduction, sharding::at_the_end>,
        "snug: zero<1> keeps all gradients until the end of a step: leave reduced<each_micro_batch> "
        "out, or use zero<2>, which is zero<1> with that");
};

}  // namespace refusal

namespace sharding {

/// ZeRO (Rajbhandari et al., arXiv 1910.02054) over `Ranks` processes, each with its own batch: stage 1 shards
/// optimizer states and master copy, stage 2 also the gradients, stage 3 also the weights. Options:
/// `bucket<32_MiB>`, `wire<bf16>` and, for stage 3, `prefetch<1>` and `keep_below<64_KiB>`.
template <int Stage, class Ranks, class... Options>
struct zero : detail::chosen_options<Options...> {
    static_assert(sizeof(refusal::zero_has_the_stages_1_2_and_3<Stage>) > 0);
    static_assert(sizeof(refusal::a_sharding_takes_the_number_of_ranks<Ranks>) > 0);
    static_assert((sizeof(refusal::this_is_not_an_option_of_sharding<Options>) * ... * 1) > 0);

    using axis = snug::axis::sharding;
    using reduction =
        typename detail::reduction_of<std::conditional_t<Stage == 1, at_the_end, each_micro_batch>,
                                      Options...>::type;
    static_assert(sizeof(refusal::zero_2_and_3_reduce_each_micro_batch<Stage, reduction>) > 0);
    static_assert(sizeof(refusal::zero_1_reduces_at_the_end<Stage, reduction>) > 0);

    static constexpr int ranks = Ranks::count;
    static constexpr int replicas = 1;
    static constexpr int stage = Stage;
    static constexpr bool reduces_each_micro_batch = Stage >= 2;
};

}  // namespace sharding
}  // namespace snug::SNUG_TARGET
