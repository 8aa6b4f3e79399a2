// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <snug/memory/budget.hpp>
#include <snug/meta.hpp>
#include <snug/policy.hpp>
#include <string_view>

namespace snug::SNUG_TARGET {

namespace detail {

template <class P>
concept keeps_segments = requires {
    { P::segment(index_t{12}) } -> std::convertible_to<index_t>;
    requires P::segment(index_t{12})
    >= 0;
};
template <class P>
concept keeps_by_name = requires {
    { P::keeps(std::string_view{}) } -> std::convertible_to<bool>;
};
template <class P>
concept keeps_by_groups = requires {
    typename P::groups;
};
template <class P>
concept keeps_within_budget = requires {
    typename P::budget;
    requires memory_budget<typename P::budget>;
};

/// What such a policy finds may also offload inputs of blocks.
template <class P>
inline constexpr bool may_offload = false;
template <class P>
    requires requires { P::may_offload; }
inline constexpr bool may_offload<P> = P::may_offload;

template <class P>
concept offloads_to_a_place = requires {
    typename P::place_of_offloaded;
};

/// All blocks keep a value of this name, if they have it and backward reads it.
template <class P>
constexpr bool all_blocks_keep([[maybe_unused]] std::string_view name) {
    if constexpr (keeps_by_name<P>) return P::keeps(name);
    else if constexpr (requires { P::recomputes_cheap_layers; }) return !P::recomputes_cheap_layers;
    else if constexpr (keeps_segments<P>) return P::segment(index_t{12}) == 0;
    else return true;
}

/// The names that a policy keeps, where it lists them.
template <class Policy>
struct names_to_keep {
    using type = meta::list<>;
};
template <class Policy>
    requires requires { typename Policy::names; }
struct names_to_keep<Policy> {
    using type = typename Policy::names;
};
template <class... Groups>
struct names_to_keep<meta::list<Groups...>> {
    using type = meta::mp::mp_append<typename names_to_keep<typename Groups::policy>::type...>;
};
template <keeps_by_groups Policy>
struct names_to_keep<Policy> : names_to_keep<typename Policy::groups> {};

/// Of a value of a block.
template <text Name>
struct value_name {
    static constexpr auto name = Name;
    static constexpr bool is(std::string_view other) { return other == Name.view(); }
};

}  // namespace detail

/// What a checkpointing policy decides: `segment(blocks)`, the number of consecutive blocks whose activations are kept
/// at once. Only the input of every segment is kept through the forward pass, and a segment is computed again when
/// backward reaches it. 0 keeps everything. `recomputes_cheap_layers`: outputs of norms and activation functions are
/// computed again in any case. `keeps(name)`: of what a block computes, the values of these names are kept, and no
/// others. Or `groups`, a `meta::list` of `checkpointing::group`. Or `budget`, within which the trainer looks for
/// groups itself. Losses and weights are the same to the bit.
template <class P>
concept checkpointing_policy = policy<P> && std::same_as<typename P::axis, axis::checkpointing> &&
    (detail::keeps_segments<P> || detail::keeps_by_groups<P> || detail::keeps_within_budget<P>);

namespace refusal {

template <class Policy>
struct this_is_not_a_checkpointing {
    static constexpr bool holds = checkpointing_policy<Policy>;
    static_assert(holds,
                  "snug: a policy of the axis checkpointing needs 'static constexpr index_t segment(index_t "
                  "blocks)': how many blocks keep their activations at once, 0 for all of them (see Policy)");
};

template <class Group>
struct this_is_not_a_group_of_a_checkpointing_plan {
    static constexpr bool holds = requires {
        requires Group::blocks >
        0;
        requires detail::keeps_segments<typename Group::policy>;
        requires !detail::offloads_to_a_place<typename Group::policy>;
    };
    static_assert(
        holds,
        "snug: checkpointing::plan takes checkpointing::group<N, policy>, N blocks one after the "
        "other, at least "
        "1, and what they keep, such as checkpointing::every_block or none (see Group); offloaded_to "
        "stands around the plan");
};

template <class Inner>
struct what_is_offloaded_is_a_checkpointing {
    static constexpr bool holds = checkpointing_policy<Inner> && !snug::detail::keeps_within_budget<Inner>;
    static_assert(holds,
                  "snug: checkpointing::offloaded takes a policy of the axis checkpointing, such as "
                  "checkpointing::every_block: what blocks keep beside their inputs, which are offloaded "
                  "(see Inner). checkpointing::within is not one: within<Budget, checkpointing::offloading> "
                  "looks for what to offload itself");
};

template <class Place>
struct this_is_no_place_for_activations {
    static constexpr bool holds = requires { Place::folder.view(); };
    static_assert(holds,
                  "snug: checkpointing::offloaded_to takes checkpointing::file<\"/a/folder\"> (see Place); "
                  "checkpointing::offloaded keeps activations in the host's memory");
};

template <class Inner, class Name, bool IsKept>
struct a_value_that_is_offloaded_is_kept {
    static_assert(
        IsKept,
        "snug: checkpointing::offloaded<Inner, \"attention.output\"> offloads a value that blocks keep by "
        "Inner, such as keep<\"attention.output\"> or none (see Inner and Name)");
};

template <class Given, bool IsOffloading>
struct beside_its_budget_within_takes_offloading {
    static_assert(
        IsOffloading,
        "snug: checkpointing::within<Budget> keeps all in the step's memory; the only other that it "
        "takes is checkpointing::offloading, with which inputs of blocks may wait in the host's (see "
        "Given)");
};

template <index_t K>
struct every_kth_block_needs_a_k_of_at_least_1 {
    static_assert(K > 0,
                  "snug: checkpointing::every<K> keeps the input of every K-th block, so K is at least 1");
};

}  // namespace refusal

namespace checkpointing {

struct none {
    using axis = snug::axis::checkpointing;
    static constexpr index_t segment(index_t) { return 0; }
};

/// Keeps the input of every K-th block.
template <index_t K>
struct every {
    static_assert(sizeof(refusal::every_kth_block_needs_a_k_of_at_least_1<K>) > 0);
    using axis = snug::axis::checkpointing;
    static constexpr index_t segment(index_t blocks) { return K < blocks ? K : blocks; }
};

struct every_block : every<1> {};

/// Keeps the inputs of products and of attention, and recomputes what costs one pass over memory: the outputs of norms
/// and activation functions. A third of the activations for a few hundredths of the time.
struct selective {
    using axis = snug::axis::checkpointing;
    static constexpr bool recomputes_cheap_layers = true;
    static constexpr index_t segment(index_t) { return 0; }
};

/// Keeps the values of these names (`snug::values` lists them), and the inputs of blocks. Each other value is
/// computed again once, just before backward reads it, from what is there: `keep<"qkv.output", "attention.output">`
/// computes all of a block again but what is dear of its first half. `keep<>` keeps what every_block does. A name
/// that no block has is refused; one that backward does not read under the trainer's adapter takes no memory.
template <text... Names>
struct keep {
    using axis = snug::axis::checkpointing;
    using names = meta::list<detail::value_name<Names>...>;
    static constexpr bool keeps([[maybe_unused]] std::string_view name) {
        return (detail::value_name<Names>::is(name) || ... || false);
    }
    static constexpr index_t segment(index_t) { return 0; }
};

/// Segments of about √blocks blocks: the least memory for one more forward pass when a block keeps about as much as its
/// input takes (Chen et al., arXiv 1604.06174); for blocks that keep much more, every_block keeps less.
struct square_root {
    using axis = snug::axis::checkpointing;
    static constexpr index_t segment(index_t blocks) {
        index_t root = 1;
        while (root * root < blocks) ++root;
        return root;
    }
};

/// `Blocks` blocks one after the other that keep what the policy says.
template <index_t Blocks, class Policy>
struct group {
    static constexpr index_t blocks = Blocks;
    using policy = Policy;
};

/// The blocks of the model in groups, from the first block to the last, all of them: `plan<group<5, every_block>,
/// group<7, selective>>` computes the first 5 of 12 again as a whole and of the others what is cheap.
template <class... Groups>
struct plan {
    static_assert(sizeof...(Groups) > 0, "snug: checkpointing::plan needs a group at least");
    static_assert((sizeof(refusal::this_is_not_a_group_of_a_checkpointing_plan<Groups>) * ... * 1) > 0);
    using axis = snug::axis::checkpointing;
    using groups = meta::list<Groups...>;
};

/// What blocks keep by `Inner`, but their inputs wait in the host's memory for backward: three are in the step's
/// memory, whatever the number of blocks (Rajbhandari et al., "ZeRO-Infinity", arXiv 2104.07857). With segments of
/// blocks, the inputs of segments. Of a `plan` the inputs of each group; between groups one stays. `Values`: the names
/// of values that blocks keep by `Inner`, which go the same way. The bill has all of it on the line `paged`.
template <class Inner = every_block, text... Values>
struct offloaded
    : std::conditional_t<refusal::what_is_offloaded_is_a_checkpointing<Inner>::holds, Inner, every_block> {
    static_assert(sizeof(refusal::what_is_offloaded_is_a_checkpointing<Inner>) > 0);
    static_assert((sizeof(refusal::a_value_that_is_offloaded_is_kept<
                          Inner, detail::value_name<Values>, detail::all_blocks_keep<Inner>(Values.view())>) *
                   ... * 1) > 0);
    using offloaded_values = meta::list<detail::value_name<Values>...>;
    using names = meta::mp::mp_append<typename detail::names_to_keep<Inner>::type, offloaded_values>;
};
template <class... Groups, text... Values>
struct offloaded<plan<Groups...>, Values...>
    : plan<group<Groups::blocks, offloaded<typename Groups::policy, Values...>>...> {};

/// A file of its own in a folder. It has no name, and is gone with the trainer.
template <text Folder>
struct file {
    static constexpr auto folder = Folder;
};

/// As `offloaded`, in a file in the place of the host's memory: for trainers on the host, whose activations are larger
/// than its memory. The system keeps in memory what there is room for, and reads and writes the rest.
template <class Place, class Inner = every_block, text... Values>
struct offloaded_to : offloaded<Inner, Values...> {
    static_assert(sizeof(refusal::this_is_no_place_for_activations<Place>) > 0);
    using place_of_offloaded = Place;
};

/// Of `within`: what it may do beside computing again.
struct offloading {};

/// The cheapest recomputation with which the whole step fits `Budget`, a device of `snug::devices` or a
/// `snug::budget<24_GiB>`: a `plan` of one or two groups, each `none` or a `keep` of some values. Plans are laid out in
/// the order of what they cost by the device's rates, and the first that fits is taken; `checkpointing::chosen<T>` says
/// which. What fits with nothing computed again is `none`; when nothing fits, the trainer does not compile, and the
/// error is the bill of the least. `within<Budget, offloading>`: inputs of the blocks of a group may also be
/// `offloaded`. That counts nothing where a block computes longer than its input travels over the device's `host_link`,
/// forward and backward, and else the time by which it waits.
template <class Budget, class... Offloading>
struct within {
    static_assert(sizeof(refusal::this_is_not_a_budget<Budget>) > 0);
    static_assert((sizeof(refusal::beside_its_budget_within_takes_offloading < Offloading,
                          sizeof...(Offloading) == 1 && std::same_as < Offloading, offloading >>) *
                   ... * 1) > 0);
    using axis = snug::axis::checkpointing;
    using budget = Budget;
    static constexpr bool may_offload = sizeof...(Offloading) > 0;
};

}  // namespace checkpointing
}  // namespace snug::SNUG_TARGET
