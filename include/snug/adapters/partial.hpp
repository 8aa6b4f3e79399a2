// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <snug/adapters/adapter.hpp>
#include <snug/adapters/blocks.hpp>
#include <snug/adapters/lora.hpp>

/// Part of a model trains and the rest stays as it is, without an adapter.
namespace snug::SNUG_TARGET {

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

}  // namespace refusal

namespace detail {

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
    template <class>
    using in_blocks = detail::all_trains;
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

}  // namespace snug::SNUG_TARGET
