// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <snug/adapters/none.hpp>
#include <snug/models/rewrite.hpp>
#include <snug/quantization/policy.hpp>

/// Adapters train a few new weights beside a frozen model. An adapter policy rewrites the model's list of layers: it
/// replaces the linear layers that it adapts, and everything else is frozen unless the policy says that it trains.
namespace snug {

/// What an adapter policy decides; besides `adapters::none`, which adapts nothing and trains everything:
/// - `adapts<Name, Linear>`: this linear layer of this name is adapted;
/// - `layer<Linear, Scheme>`: the layer that takes its place, with the weight stored by Scheme, or `quantization::none`;
/// - `trains<Name, Layer>`: this other layer goes on training.
template <class P>
concept adapter_policy = policy<P> && std::same_as<typename P::axis, axis::adapters> &&
    (std::same_as<P, adapters::none> || requires {
        { P::template adapts<"name", linear<1, 1>> } -> std::convertible_to<bool>;
        { P::template trains<"name", linear<1, 1>> } -> std::convertible_to<bool>;
        typename P::template layer<linear<1, 1>, quantization::none>;
    });

namespace refusal {

template <class Policy>
struct this_is_not_an_adapter {
    static constexpr bool holds = adapter_policy<Policy>;
    static_assert(holds,
                  "snug: a policy of the axis adapters needs 'adapts<Name, Linear>', 'trains<Name, Layer>' "
                  "and 'layer<Linear, Scheme>' (see Policy, and snug/adapters/adapter.hpp)");
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
    template <class L, text Name>
    static constexpr auto rewritten() {
        if constexpr (linear_layer<L>) {
            if constexpr (Policy::template adapts<Name, L>)
                return std::type_identity<typename Policy::template layer<L, Scheme>>{};
            else if constexpr (Policy::template trains<Name, L>) return std::type_identity<L>{};
            else return std::type_identity<frozen<frozen_linear<L, Scheme>>>{};
        } else if constexpr (Policy::template trains<Name, L> || meta::size<layer::parameters<L>> == 0) {
            // A tied head has no parameter of its own: it trains when the embedding does.
            if constexpr (requires { requires L::tied; } && !Policy::template trains<Name, L>)
                return std::type_identity<frozen<L>>{};
            else return std::type_identity<L>{};
        } else {
            return std::type_identity<frozen<L>>{};
        }
    }
    template <class L, text Name>
    using of = typename decltype(rewritten<L, Name>())::type;
};

/// Linear layers of L, or named parts of them, that a target names.
template <class Target, class L>
constexpr int matches_in() {
    if constexpr (layer::composite<L>) {
        return []<class... Children>(meta::list<Children...>*) {
            return (matches_in<Target, Children>() + ... + 0);
        }(static_cast<typename L::children*>(nullptr));
    } else if constexpr (linear_layer<L>) {
        return []<index_t In, index_t Out, bool Bias, class Initial, class... Parts>(
            linear<In, Out, Bias, Initial, parts<Parts...>> const*) {
            return sizeof...(Parts) == 0 ? int{Target::matches(layer::name<L>())}
                                         : (Target::matches(Parts::name.view()) + ... + 0);
        }
        (static_cast<L const*>(nullptr));
    } else {
        return 0;
    }
}

/// Every target that an adapter names is in the model; an adapter that names none (`targets`) is not asked.
template <class Adapter, class Model>
struct targets_exist {
    static constexpr bool holds = true;
};
template <class Adapter, class Model, class... Target>
struct each_target_exists : accepted<refusal::an_adapter_targets_what_the_model_does_not_have<
                                Adapter, Model, Target, matches_in<Target, typename Model::body>()>...> {};
template <class Adapter, class Model>
    requires requires { typename Adapter::target_list; }
struct targets_exist<Adapter, Model> {
    template <class... Target>
    using checked = each_target_exists<Adapter, Model, Target...>;
    static constexpr bool holds = meta::mp::mp_apply<checked, typename Adapter::target_list>::value;
};

}  // namespace detail

/// The model that a trainer is built from: linear layers quantized, adapted or both, the rest frozen under an adapter.
template <class Model, class Scheme, class Policy>
struct adapted_model {
    using type = detail::rewritten<Model, detail::adapt<Policy, Scheme>>;
};
template <class Model, class Scheme>
struct adapted_model<Model, Scheme, adapters::none> : quantized_model<Model, Scheme> {};

}  // namespace snug
