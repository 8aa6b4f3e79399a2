// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <snug/adapters/none.hpp>
#include <snug/models/rewrite.hpp>
#include <snug/quantization/policy.hpp>

/// Adapters train a few new weights beside a frozen model. An adapter policy rewrites the model's list of layers: it
/// replaces the linear layers that it adapts, and everything else is frozen unless the policy says that it trains.
namespace snug::SNUG_TARGET {

namespace detail {
inline constexpr text any_name{"name"};
}

/// What an adapter policy decides; besides `adapters::none`, which adapts nothing and trains everything:
/// - `adapts<Path, Linear>`: the linear layer of this path is adapted;
/// - `layer<Linear, Scheme>`: the layer that takes its place, with the weight stored by Scheme, or `quantization::none`;
/// - `trains<Path, Layer>`: this other layer goes on training.
/// A path is what stands before a parameter's own name in the parameter table: "blocks.qkv" of "blocks.qkv.weight". A policy that
/// compares it with names of its own lists them, so that one the model does not have is refused: `using paths =
/// snug::layer_paths<"blocks.qkv", ...>`.
template <class P>
concept adapter_policy = policy<P> && std::same_as<typename P::axis, axis::adapters> &&
    (std::same_as<P, adapters::none> || requires {
        { P::template adapts<detail::any_name, linear<1, 1>> } -> std::convertible_to<bool>;
        { P::template trains<detail::any_name, linear<1, 1>> } -> std::convertible_to<bool>;
        typename P::template layer<linear<1, 1>, quantization::none>;
    });

namespace refusal {

template <class Policy>
struct this_is_not_an_adapter {
    static constexpr bool holds = adapter_policy<Policy>;
    static_assert(holds,
                  "snug: a policy of the axis adapters needs 'adapts<Path, Linear>', 'trains<Path, Layer>' "
                  "and 'layer<Linear, Scheme>' (see Policy, and snug/adapters/adapter.hpp)");
};

template <class Adapter, class Model, class Kind, int Matches>
struct an_adapter_trains_what_the_model_does_not_have {
    static constexpr bool holds = Matches > 0;
    static_assert(
        holds,
        "snug: also_train names a kind of layer that the model does not have (see Kind and Model). A "
        "tied head is no layer of its own: it trains with snug::embeddings");
};

template <class Adapter, class Model, class Path, int Matches>
struct an_adapter_names_a_path_that_the_model_does_not_have {
    static constexpr bool holds = Matches > 0;
    static_assert(
        holds,
        "snug: one of an adapter's 'paths' leads to no layer of the model (see Path and Model). A path is "
        "what stands before a parameter's own name: \"blocks.qkv\" of \"blocks.qkv.weight\"");
};

template <class Adapter, class Model, bool Trains>
struct an_adapter_trains_nothing {
    static constexpr bool holds = Trains;
    static_assert(
        holds,
        "snug: under this adapter no parameter of the model trains (see Adapter and Model): it adapts no "
        "linear layer and keeps none training");
};

template <class Adapter, class Model, bool IsTogether>
struct a_tied_head_trains_when_its_embedding_does {
    static constexpr bool holds = IsTogether;
    static_assert(holds,
                  "snug: an adapter's 'trains' says yes to the embedding and no to the head, or the other "
                  "way, and this "
                  "model's head is its embedding: one parameter (see Adapter and Model)");
};

template <class Adapter, class Model, class Target, int Matches>
struct an_adapter_targets_what_the_model_does_not_have {
    static constexpr bool holds = Matches > 0;
    static_assert(holds,
                  "snug: a target of an adapter names no linear layer of the model (see Target and Model). "
                  "snug::all_linear is all of them; a name is that of a module (\"q_proj\"), or of a layer "
                  "whose parts have no names");
};

}  // namespace refusal

namespace detail {

template <class Policy, class Scheme>
struct adapt {
    template <class L, text Path>
    static constexpr auto rewritten() {
        if constexpr (linear_layer<L>) {
            if constexpr (Policy::template adapts<Path, L>)
                return std::type_identity<typename Policy::template layer<L, Scheme>>{};
            else if constexpr (Policy::template trains<Path, L>) return std::type_identity<L>{};
            else return std::type_identity<frozen<frozen_linear<L, Scheme>>>{};
        } else if constexpr (Policy::template trains<Path, L> || meta::size<layer::parameters<L>> == 0) {
            // A tied head has no parameter of its own: it trains when the embedding does.
            if constexpr (requires { requires L::tied; } && !Policy::template trains<Path, L>)
                return std::type_identity<frozen<L>>{};
            else return std::type_identity<L>{};
        } else {
            return std::type_identity<frozen<L>>{};
        }
    }
    template <class L, text Path>
    using of = typename decltype(rewritten<L, Path>())::type;
};

/// The sum of Count::of<Leaf, Path>() over the leaves of L, which is inside a layer of path `Whole`. A class: in a function nvcc
/// 13.0 loses the path.
template <class Count, class L, auto Whole>
struct leaf_count {
    template <class... Children>
    static constexpr int of_children(meta::list<Children...>*) {
        return (leaf_count<Count, Children, Whole>::value + ... + 0);
    }
    static constexpr int value = [] {
        if constexpr (layer::composite<L>) return of_children(static_cast<typename L::children*>(nullptr));
        else return Count::template of<L, Whole>();
    }();
};
template <class Count, given_name L, auto Whole>
struct leaf_count<Count, L, Whole> : leaf_count<Count, typename L::unnamed, path_of<Whole, L::name>()> {};

/// Linear layers, or named parts of them, that a target names.
template <class Target>
struct matches_of_target {
    template <index_t In, index_t Out, bool Bias, class Initial, class... Parts>
    static constexpr int in_linear(linear<In, Out, Bias, Initial, parts<Parts...>> const*,
                                   std::string_view path) {
        return sizeof...(Parts) == 0 ? int{Target::matches(path)}
                                     : (Target::matches(Parts::name.view()) + ... + 0);
    }
    template <class L, auto Path>
    static constexpr int of() {
        if constexpr (linear_layer<L>) return in_linear(static_cast<L const*>(nullptr), Path.view());
        else return 0;
    }
};

/// Leaves of a kind, as `also_train` has them.
template <class Kind>
struct matches_of_kind {
    template <class L, auto>
    static constexpr int of() {
        // What is no kind is refused elsewhere, in words of its own.
        if constexpr (requires { Kind::is(static_cast<L const*>(nullptr)); })
            return decltype(Kind::is(static_cast<L const*>(nullptr)))::value;
        else return 1;
    }
};

/// The leaf of a path.
template <auto Wanted>
struct layer_path {
    template <class, auto Path>
    static constexpr int of() {
        return Path.view() == Wanted.view();
    }
};

/// In the body or the head of a model.
template <class Count, class Model>
inline constexpr int matches_in = leaf_count<Count, typename Model::body, text{""}>::value +
                                  leaf_count<Count, typename Model::head, text{""}>::value;

/// Everything that an adapter names is in the model: its targets, the kinds it trains, its paths. A list that it does not have is not
/// asked.
template <class Adapter, class Model>
struct targets_exist {
    static constexpr bool holds = true;
};
template <class Adapter, class Model>
    requires requires { typename Adapter::target_list; }
struct targets_exist<Adapter, Model> {
    template <class... Target>
    using each = accepted<refusal::an_adapter_targets_what_the_model_does_not_have<
        Adapter, Model, Target, matches_in<matches_of_target<Target>, Model>>...>;
    static constexpr bool holds = meta::mp::mp_apply<each, typename Adapter::target_list>::value;
};
template <class Adapter, class Model>
struct trained_kinds_exist {
    static constexpr bool holds = true;
};
template <class Adapter, class Model>
    requires requires { typename Adapter::kind_list; }
struct trained_kinds_exist<Adapter, Model> {
    template <class... Kind>
    using each = accepted<refusal::an_adapter_trains_what_the_model_does_not_have<
        Adapter, Model, Kind, matches_in<matches_of_kind<Kind>, Model>>...>;
    static constexpr bool holds = meta::mp::mp_apply<each, typename Adapter::kind_list>::value;
};
template <class Adapter, class Model>
struct paths_exist {
    static constexpr bool holds = true;
};
template <class Adapter, class Model>
    requires requires { typename Adapter::paths; }
struct paths_exist<Adapter, Model> {
    template <class... Path>
    using each =
        accepted<refusal::an_adapter_names_a_path_that_the_model_does_not_have<Adapter, Model, Path,
                                                                               matches_in<Path, Model>>...>;
    static constexpr bool holds = meta::mp::mp_apply<each, typename Adapter::paths::list>::value;
};

}  // namespace detail

/// The paths that an adapter policy of your own compares with, as its member `paths`.
template <text... Paths>
struct layer_paths {
    using list = meta::list<detail::layer_path<Paths>...>;
    static constexpr bool contain(std::string_view path) { return ((Paths.view() == path) || ...); }
};

/// The model that a trainer is built from: linear layers quantized, adapted or both, the rest frozen under an adapter.
template <class Model, class Scheme, class Policy>
struct adapted_model {
    using type = detail::rewritten<Model, detail::adapt<Policy, Scheme>>;
};
template <class Model, class Scheme>
struct adapted_model<Model, Scheme, adapters::none> : quantized_model<Model, Scheme> {};

namespace detail {

template <class Model>
inline constexpr bool head_and_embedding_train_together =
    layer::frozen_layer<typename Model::head> == layer::frozen_layer<typename Model::embedding_layer>;
template <class Model>
    requires(!Model::head::tied)
inline constexpr bool head_and_embedding_train_together<Model> = true;

template <class Model>
constexpr bool has_trained_parameters() {
    for (auto const& entry : Model::declare_parameters().entries)
        if (entry.is_trained()) return true;
    return false;
}

/// An adapter leaves something to train, and of a tied head not half.
template <class Model, class Scheme, class Policy>
struct something_trains
    : accepted<
          refusal::an_adapter_trains_nothing<
              Policy, Model, has_trained_parameters<typename adapted_model<Model, Scheme, Policy>::type>()>,
          refusal::a_tied_head_trains_when_its_embedding_does<
              Policy, Model,
              head_and_embedding_train_together<typename adapted_model<Model, Scheme, Policy>::type>>> {};
template <class Model, class Scheme>
struct something_trains<Model, Scheme, adapters::none> : std::true_type {};

}  // namespace detail
}  // namespace snug::SNUG_TARGET
