// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <snug/checkpointing/policies.hpp>
#include <snug/layers/keeping.hpp>
#include <snug/models/rewrite.hpp>
#include <type_traits>

/// Checkpointing rewrites the layer list once: repeated blocks say how many of them are kept, cheap layers that they run again.
/// Nobody asks the policy after that.
namespace snug::SNUG_TARGET {

namespace refusal {

template <class Policy, index_t BlocksOfTheModel, index_t BlocksOfTheGroups>
struct the_groups_of_a_checkpointing_plan_are_not_the_blocks_of_the_model {
    static_assert(BlocksOfTheModel == BlocksOfTheGroups,
                  "snug: the groups of checkpointing::plan have together another number of blocks than the "
                  "model repeats "
                  "(see BlocksOfTheModel and BlocksOfTheGroups)");
};

}  // namespace refusal

namespace detail {

template <class Policy>
inline constexpr bool recomputes_cheap_layers = false;
template <class Policy>
    requires requires { Policy::recomputes_cheap_layers; }
inline constexpr bool recomputes_cheap_layers<Policy> = Policy::recomputes_cheap_layers;

/// What blocks keep in the host's memory beside their inputs; void: nothing, nor their inputs.
template <class Policy>
struct offloads_of {
    using type = void;
};
template <class Policy>
    requires requires { typename Policy::offloaded_values; }
struct offloads_of<Policy> {
    using type = typename Policy::offloaded_values;
};

template <index_t... Blocks>
constexpr index_t blocks_before(std::size_t group) {
    index_t const counts[] = {Blocks...};
    index_t sum = 0;
    for (std::size_t i = 0; i < group; ++i) sum += counts[i];
    return sum;
}

template <class Policy>
struct checkpoint {
    template <class L, text>
    using of =
        std::conditional_t<layer::cheap_to_recompute<L> && recomputes_cheap_layers<Policy>, recomputed<L>, L>;

    template <class Block>
    struct keeping_all {
        using type = Block;
    };
    /// A block that is one layer has no values inside.
    template <class Block>
        requires keeps_by_name<Policy> && layer::composite<Block>
    struct keeping_all<Block> {
        using type = keeping<Block, Policy>;
    };

    template <index_t Blocks, class Block, index_t First, auto Path>
    using repeated =
        repeat<Blocks, typename keeping_all<typename rewrite<checkpoint, Block, Path>::type>::type,
               Policy::segment(Blocks), First, typename offloads_of<Policy>::type>;
};

/// By groups: outside of the repeated blocks everything is kept.
template <keeps_by_groups Policy>
struct checkpoint<Policy> {
    template <class L, text>
    using of = L;

    template <index_t Blocks, class Block, auto Path, class... Groups>
    static constexpr auto stretches(meta::list<Groups...>) {
        static_assert(sizeof(refusal::the_groups_of_a_checkpointing_plan_are_not_the_blocks_of_the_model<
                             Policy, Blocks, (Groups::blocks + ...)>) > 0);
        return []<std::size_t... G>(std::index_sequence<G...>) {
            return std::type_identity<grouped<typename checkpoint<typename Groups::policy>::template repeated<
                Groups::blocks, Block, blocks_before<Groups::blocks...>(G), Path>...>>{};
        }
        (std::index_sequence_for<Groups...>{});
    }
    template <index_t Blocks, class Block, index_t, auto Path>
    using repeated = typename decltype(stretches<Blocks, Block, Path>(typename Policy::groups{}))::type;
};

}  // namespace detail

template <class Policy, index_t Blocks, class Block, index_t First, auto Path>
struct rewrite<detail::checkpoint<Policy>, repeat<Blocks, Block, 0, First>, Path> {
    using type = typename detail::checkpoint<Policy>::template repeated<Blocks, Block, First, Path>;
};

/// The model whose blocks keep for backward what a checkpointing policy says.
template <class Model, class Policy>
struct checkpointed_model {
    using type = detail::rewritten<Model, detail::checkpoint<Policy>>;
};
template <class Model>
struct checkpointed_model<Model, checkpointing::none> {
    using type = Model;
};

}  // namespace snug::SNUG_TARGET
