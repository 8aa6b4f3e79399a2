// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <snug/adapters/adapter.hpp>
#include <snug/adapters/lora.hpp>

/// Part of a model trains and the rest stays as it is, without an adapter.
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

/// Layers by what stands before a parameter's own name in the parameter table, or by the end of it after a dot:
/// "blocks.qkv" or "qkv" of "blocks.qkv.weight".
template <text... Paths>
struct layers_called {
    static_assert(sizeof...(Paths) > 0, "snug: layers_called<> names no layer");
};

namespace refusal {

template <class Given>
struct this_is_not_a_part_of_a_model_that_can_train {
    static_assert(
        !std::is_same_v<Given, Given>,
        "snug: snug::trains takes snug::block_range<First, Last>, snug::last_blocks<N>, snug::norms, "
        "snug::embeddings, snug::head, snug::layers_called<\"qkv\", ...>, or a struct of your own with the "
        "functions 'is' of snug::norms (see Given)");
};

template <class Parts, int Times>
struct the_blocks_that_train_are_one_range {
    static_assert(Times < 2, "snug: snug::trains takes one range of blocks (see Parts)");
};

template <class Blocks, index_t First, index_t Last, index_t BlocksOfTheModel>
struct the_blocks_that_train_are_in_the_model {
    static_assert(0 <= First && Last < BlocksOfTheModel,
                  "snug: snug::trains names blocks that the model does not have (see Blocks and "
                  "BlocksOfTheModel): they are numbered from 0");
};

template <class Repeated, bool Holds>
struct blocks_that_train_are_of_one_kind {
    static_assert(Holds,
                  "snug: snug::trains takes blocks by number of a model that repeats blocks of one kind, and "
                  "those of this one differ (see Repeated). Name layers: snug::layers_called<...>");
};

}  // namespace refusal

namespace detail {

template <class Part>
concept part_in_blocks = requires {
    { Part::first_of(index_t{}) } -> std::same_as<index_t>;
    { Part::last_of(index_t{}) } -> std::same_as<index_t>;
};

/// As counted by `leaf_count`, and as asked for a layer.
template <class Part>
struct part_of_model {
    static_assert(sizeof(refusal::this_is_not_a_part_of_a_model_that_can_train<Part>) > 0);
    using kinds = meta::list<>;
    using paths = meta::list<>;
    template <text, class>
    static constexpr bool has = true;
};
template <class Part>
    requires requires(void const* layer) { Part::is(layer); }
struct part_of_model<Part> {
    using kinds = meta::list<Part>;
    using paths = meta::list<>;
    template <text, class L>
    static constexpr bool has = decltype(Part::is(static_cast<L const*>(nullptr)))::value;
};
template <part_in_blocks Part>
struct part_of_model<Part> {
    using kinds = meta::list<>;
    using paths = meta::list<>;
    template <text, class>
    static constexpr bool has = false;
};
template <auto Name>
struct path_or_its_end {
    template <class L, auto Path>
    static constexpr int of() {
        return meta::size<layer::parameters<L>> > 0 && is_named_by(Name.view(), Path.view());
    }
};
template <text... Names>
struct part_of_model<layers_called<Names...>> {
    using kinds = meta::list<>;
    using paths = meta::list<path_or_its_end<Names>...>;
    template <text Path, class>
    static constexpr bool has = (is_named_by(Names.view(), Path.view()) || ...);
};
/// Of the blocks that train everything does.
struct all_trains {
    template <text, class>
    static constexpr bool adapts = false;
    template <text, class>
    static constexpr bool trains = true;
};

template <class Part>
struct is_part_in_blocks : std::bool_constant<part_in_blocks<Part>> {};
template <class... Parts>
using blocks_among = meta::mp::mp_copy_if<meta::list<Parts...>, is_part_in_blocks>;

}  // namespace detail

namespace adapters {

/// No adapter: what is in one of the parts trains, and the rest has no gradient, no master weights and no states, and
/// may be quantized. What stands before all that trains has no backward either, and keeps no activations.
/// `snug::trains` is its other name:
///
///     snug::trainer<snug::models::llama3_2_1b, snug::batch<1, 1024>, snug::trains<snug::last_blocks<4>, snug::norms>>
///
/// Parts: `block_range<First, Last>` or `last_blocks<N>`, with all that is in them; layers by kind, `norms`,
/// `embeddings`, `head`; layers by name, `layers_called<"qkv">`, of every block.
template <class... Parts>
struct partial {
    using axis = snug::axis::adapters;
    using blocks = detail::blocks_among<Parts...>;
    static_assert(sizeof(refusal::the_blocks_that_train_are_one_range<meta::list<Parts...>,
                                                                      static_cast<int>(meta::size<blocks>)>) >
                  0);
    using kind_list = meta::mp::mp_append<typename detail::part_of_model<Parts>::kinds...>;
    struct paths {
        using list = meta::mp::mp_append<meta::list<>, typename detail::part_of_model<Parts>::paths...>;
    };

    template <text, class>
    static constexpr bool adapts = false;
    template <text Path, class L>
    static constexpr bool trains = (detail::part_of_model<Parts>::template has<Path, L> || ... || false);
    template <class Linear, class>
    using layer = Linear;
};

}  // namespace adapters

template <class... Parts>
using trains = adapters::partial<Parts...>;

namespace detail {

template <class Policy>
concept trains_blocks = requires {
    typename Policy::blocks;
    requires meta::size<typename Policy::blocks> >
    0;
};

/// Blocks before those that train, these, and those behind them, as far as there are any.
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

template <detail::trains_blocks Policy, class Scheme, index_t Blocks, class Block, auto Path>
struct rewrite<detail::adapt<Policy, Scheme>, repeat<Blocks, Block>, Path> {
    using range = meta::at<typename Policy::blocks, 0>;
    static constexpr index_t first = range::first_of(Blocks), last = range::last_of(Blocks);
    static_assert(sizeof(refusal::the_blocks_that_train_are_in_the_model<range, first, last, Blocks>) > 0);
    static_assert(sizeof(refusal::blocks_that_train_are_of_one_kind<repeat<Blocks, Block>,
                                                                    detail::period_of<Block> == 1>) > 0);
    static constexpr bool is_there = 0 <= first && last < Blocks;
    using type = typename detail::split_blocks<detail::adapt<Policy, Scheme>,
                                               detail::adapt<detail::all_trains, Scheme>, Blocks, Block, Path,
                                               is_there ? first : 0, is_there ? last : Blocks - 1>::type;
};
template <detail::trains_blocks Policy, class Scheme, class... Repeats, auto Path>
struct rewrite<detail::adapt<Policy, Scheme>, ranges<Repeats...>, Path> {
    static_assert(sizeof(refusal::blocks_that_train_are_of_one_kind<ranges<Repeats...>, false>) > 0);
    using type = ranges<Repeats...>;
};

}  // namespace snug::SNUG_TARGET
