// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <snug/adapters/adapter.hpp>

/// Some of a model's blocks, by number: those that train, or those that an adapter adapts.
namespace snug::SNUG_TARGET {

/// The blocks from number First to number Last, both of them.
template <index_t First, index_t Last>
struct block_range {
    static_assert(0 <= First && First <= Last,
                  "snug: block_range<First, Last>: blocks are numbered from 0, the first first");
    static constexpr index_t first_of(index_t) { return First; }
    static constexpr index_t last_of(index_t) { return Last; }
};

/// The last N blocks.
template <index_t N>
struct last_blocks {
    static_assert(N > 0, "snug: last_blocks<N> are at least one");
    static constexpr index_t first_of(index_t all) { return all - N; }
    static constexpr index_t last_of(index_t all) { return all - 1; }
};

namespace refusal {

template <class Blocks, index_t First, index_t Last, index_t BlocksOfTheModel>
struct named_blocks_are_in_the_model {
    static_assert(
        0 <= First && Last < BlocksOfTheModel,
        "snug: blocks are named that the model does not have (see Blocks and BlocksOfTheModel): they "
        "are numbered from 0");
};

template <class Repeated, bool Holds>
struct named_blocks_are_of_one_kind {
    static_assert(
        Holds,
        "snug: blocks are named by number of a model that repeats blocks of one kind, and those of "
        "this one differ (see Repeated). Name layers: layers_called<...>, or targets<...> of an adapter");
};

}  // namespace refusal

namespace detail {

template <class Part>
concept part_in_blocks = requires {
    { Part::first_of(index_t{}) } -> std::same_as<index_t>;
    { Part::last_of(index_t{}) } -> std::same_as<index_t>;
};

template <class Part>
struct is_part_in_blocks : std::bool_constant<part_in_blocks<Part>> {};
template <class... Parts>
using blocks_among = meta::mp::mp_copy_if<meta::list<Parts...>, is_part_in_blocks>;

/// A policy says one thing of the blocks in the one range of its list `blocks`, by the policy `in_blocks<Policy>`, and another of
/// the rest.
template <class Policy>
concept names_blocks = requires {
    typename Policy::blocks;
    requires meta::size<typename Policy::blocks> >
    0;
};

/// Blocks before those that are named, these, and those behind them, as far as there are any.
template <class Rule, class Inside, index_t Blocks, class Block, auto Path, index_t First, index_t Last>
struct split_blocks {
    template <index_t Count, class Which>
    using some =
        std::conditional_t<(Count > 0), meta::list<repeat<std::max<index_t>(Count, 1), Which>>, meta::list<>>;
    using outside = typename rewrite<Rule, Block, Path>::type;
    using inside = typename rewrite<Inside, Block, Path>::type;
    using list = meta::mp::mp_append<some<First, outside>, some<Last - First + 1, inside>,
                                     some<Blocks - 1 - Last, outside>>;
    using type =
        std::conditional_t<meta::size<list> == 1, meta::at<list, 0>, meta::mp::mp_rename<list, ranges>>;
};

}  // namespace detail

template <detail::names_blocks Policy, class Scheme, index_t Blocks, class Block, auto Path>
struct rewrite<detail::adapt<Policy, Scheme>, repeat<Blocks, Block>, Path> {
    using range = meta::at<typename Policy::blocks, 0>;
    static constexpr index_t first = range::first_of(Blocks), last = range::last_of(Blocks);
    static_assert(sizeof(refusal::named_blocks_are_in_the_model<range, first, last, Blocks>) > 0);
    static_assert(
        sizeof(refusal::named_blocks_are_of_one_kind<repeat<Blocks, Block>, detail::period_of<Block> == 1>) >
        0);
    static constexpr bool is_there = 0 <= first && last < Blocks;
    using type = typename detail::split_blocks<
        detail::adapt<Policy, Scheme>, detail::adapt<typename Policy::template in_blocks<Policy>, Scheme>,
        Blocks, Block, Path, is_there ? first : 0, is_there ? last : Blocks - 1>::type;
};
template <detail::names_blocks Policy, class Scheme, class... Repeats, auto Path>
struct rewrite<detail::adapt<Policy, Scheme>, ranges<Repeats...>, Path> {
    static_assert(sizeof(refusal::named_blocks_are_of_one_kind<ranges<Repeats...>, false>) > 0);
    using type = ranges<Repeats...>;
};

}  // namespace snug::SNUG_TARGET
