// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <snug/layers/frozen_linear.hpp>
#include <snug/models/stack.hpp>
#include <snug/quantization/none.hpp>

/// Policies that change what a model is made of rewrite its list of layers before anything is declared: quantization
/// freezes weights here, so that no layer has to ask whether it is quantized.
namespace snug {

/// Rule::of<L, Name> for every leaf layer of L, with the name it has been given; composites are taken apart and put together
/// again. Specialise it for a composite of your own, with `auto Name`:
/// nvcc 13.0 never matches a partial specialisation that deduces a `text`, and says nothing.
template <class Rule, class L, auto Name = text{""}>
struct rewrite {
    using type = typename Rule::template of<L, Name>;
};
template <class Rule, given_name L, auto Name>
struct rewrite<Rule, L, Name> {
    using type = named<L::name, typename rewrite<Rule, typename L::unnamed, L::name>::type>;
};
template <class Rule, class... Layers, auto Name>
struct rewrite<Rule, sequence<Layers...>, Name> {
    using type = sequence<typename rewrite<Rule, Layers>::type...>;
};
template <class Rule, class... Layers, auto Name>
struct rewrite<Rule, residual<Layers...>, Name> {
    using type = residual<typename rewrite<Rule, Layers>::type...>;
};
template <class Rule, index_t Blocks, class Block, auto Name>
struct rewrite<Rule, repeat<Blocks, Block>, Name> {
    using type = repeat<Blocks, typename rewrite<Rule, Block>::type>;
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

/// Freezes the weights of linear layers; embeddings, norms, biases and the head go on training.
template <class Scheme>
struct freeze_linear {
    template <class L>
    struct of_leaf {
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

}  // namespace snug
