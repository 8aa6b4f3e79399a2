// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <snug/layers/frozen_linear.hpp>
#include <snug/models/stack.hpp>
#include <snug/quantization/none.hpp>

/// Policies that change what a model is made of rewrite its list of layers before anything is declared:
/// quantization freezes weights here, so that no layer has to ask whether it is quantized.
namespace snug::SNUG_TARGET {

namespace detail {

/// "blocks" and "qkv" as "blocks.qkv"; an empty one changes nothing.
template <auto Whole, auto Part>
constexpr auto path_of() {
    if constexpr (Whole.view().empty()) {
        return Part;
    } else if constexpr (Part.view().empty()) {
        return Whole;
    } else {
        constexpr auto whole = Whole.view().size();
        char joined[whole + Part.view().size() + 2] = {};
        std::copy_n(Whole.characters, whole, joined);
        joined[whole] = '.';
        std::copy_n(Part.characters, Part.view().size(), joined + whole + 1);
        return text(joined);
    }
}

}  // namespace detail

namespace refusal {

template <class Layer, bool IsLeaf>
struct a_layer_with_children_does_not_say_how_they_are_rewritten {
    static_assert(
        IsLeaf,
        "snug: a policy of quantization, adapters or checkpointing would pass over what is inside a layer of "
        "your own "
        "(see Layer). Specialise snug::rewrite for it, in namespace snug: template <class Rule, class... "
        "Children, auto Path> struct rewrite<Rule, my_layer<Children...>, Path> { using type = "
        "my_layer<typename rewrite<Rule, Children, Path>::type...>; };");
};

template <class Layer, bool IsLinearItself>
struct a_linear_layer_is_quantized_as_it_is {
    static_assert(
        IsLinearItself,
        "snug: a layer that derives from snug::linear would not be quantized, as it may do something "
        "else (see Layer). Use snug::linear itself, an alias of it, or snug::named<\"name\", linear<...>>");
};

}  // namespace refusal

namespace detail {

template <class... Layers>
std::type_identity<sequence<Layers...>> composite_behind(sequence<Layers...> const*);
template <class... Layers>
std::type_identity<residual<Layers...>> composite_behind(residual<Layers...> const*);
template <index_t Blocks, class Block, index_t Segment, index_t First, class Offloads>
std::type_identity<repeat<Blocks, Block, Segment, First, Offloads>> composite_behind(
    repeat<Blocks, Block, Segment, First, Offloads> const*);

template <class L>
concept derived_composite = layer::composite<L> && requires(L const* given) {
    composite_behind(given);
};

/// L keeps a name of its own.
template <class L, class Rewritten>
struct named_like {
    using type = Rewritten;
};
template <class L, class Rewritten>
    requires requires { L::name.view(); }
struct named_like<L, Rewritten> {
    using type = named<L::name, Rewritten>;
};

template <class Rule, class L, auto Path>
struct rewrite_unknown;

}  // namespace detail

/// Rule::of<L, Path> for every leaf layer of L, with the names that lead to it: "blocks.qkv". Composites are
/// taken apart and put together again, those that derive from one of snug's as well. Specialise it for a
/// composite of your own, with `auto Path`, and hand the path on to what is inside: nvcc 13.0 never matches a
/// partial specialisation that deduces a `text`, and says nothing.
template <class Rule, class L, auto Path = text{""}>
struct rewrite {
    using type = typename detail::rewrite_unknown<Rule, L, Path>::type;
};

namespace detail {

template <class Rule, class L, auto Path>
struct rewrite_unknown {
    static_assert(
        sizeof(refusal::a_layer_with_children_does_not_say_how_they_are_rewritten<L, !layer::composite<L>>) >
        0);
    using type = typename Rule::template of<L, Path>;
};
template <class Rule, derived_composite L, auto Path>
struct rewrite_unknown<Rule, L, Path> {
    using plain = typename decltype(composite_behind(static_cast<L const*>(nullptr)))::type;
    using type = typename named_like<L, typename rewrite<Rule, plain, Path>::type>::type;
};

}  // namespace detail

template <class Rule, given_name L, auto Path>
struct rewrite<Rule, L, Path> {
    using type =
        named<L::name, typename rewrite<Rule, typename L::unnamed, detail::path_of<Path, L::name>()>::type>;
};
template <class Rule, class... Layers, auto Path>
struct rewrite<Rule, sequence<Layers...>, Path> {
    using type = sequence<typename rewrite<Rule, Layers, Path>::type...>;
};
template <class Rule, class... Layers, auto Path>
struct rewrite<Rule, residual<Layers...>, Path> {
    using type = residual<typename rewrite<Rule, Layers, Path>::type...>;
};
template <class Rule, index_t Blocks, class Block, index_t Segment, index_t First, class Offloads, auto Path>
struct rewrite<Rule, repeat<Blocks, Block, Segment, First, Offloads>, Path> {
    using type = repeat<Blocks, typename rewrite<Rule, Block, Path>::type, Segment, First, Offloads>;
};
template <class Rule, class... Stretches, auto Path>
struct rewrite<Rule, grouped<Stretches...>, Path> {
    using type = grouped<typename rewrite<Rule, Stretches, Path>::type...>;
};
template <class Rule, class... Blocks, auto Path>
struct rewrite<Rule, alternating<Blocks...>, Path> {
    using type = alternating<typename rewrite<Rule, Blocks, Path>::type...>;
};
template <class Rule, class... Repeats, auto Path>
struct rewrite<Rule, ranges<Repeats...>, Path> {
    using type = ranges<typename rewrite<Rule, Repeats, Path>::type...>;
};

namespace detail {

template <class... Layers>
stack<Layers...> stack_of(stack<Layers...> const&);

template <class Rule, class Stack>
struct rewrite_stack;
template <class Rule, class... Layers>
struct rewrite_stack<Rule, stack<Layers...>> {
    using type = stack<typename rewrite<Rule, Layers>::type...>;
};

/// The linear layer that L is or derives from.
template <index_t In, index_t Out, bool Bias, class Initial, class Parts>
linear<In, Out, Bias, Initial, Parts> linear_behind(linear<In, Out, Bias, Initial, Parts> const&);
template <class L>
concept linear_layer = requires(L const& given) {
    linear_behind(given);
};

/// Freezes the weights of linear layers; embeddings, norms, biases and the head go on training.
template <class Scheme>
struct freeze_linear {
    template <class L>
    struct of_leaf {
        static_assert(sizeof(refusal::a_linear_layer_is_quantized_as_it_is<L, !linear_layer<L>>) > 0);
        using type = L;
    };
    template <index_t In, index_t Out, bool Bias, class Initial, class Parts>
    struct of_leaf<linear<In, Out, Bias, Initial, Parts>> {
        using type = frozen_linear<linear<In, Out, Bias, Initial, Parts>, Scheme>;
    };
    template <class L, text>
    using of = typename of_leaf<L>::type;
};

/// A model derives from its stack, and may say more than the stack does.
template <class Model, class Rule>
struct rewritten : rewrite_stack<Rule, decltype(stack_of(std::declval<Model const&>()))>::type {
    static constexpr index_t longest_sequence = Model::longest_sequence;
};

}  // namespace detail

/// The model with the weights of its linear layers stored by a quantization scheme.
template <class Model, class Scheme>
struct quantized_model {
    using type = detail::rewritten<Model, detail::freeze_linear<Scheme>>;
};
template <class Model>
struct quantized_model<Model, quantization::none> {
    using type = Model;
};

}  // namespace snug::SNUG_TARGET
