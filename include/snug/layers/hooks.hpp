// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <snug/layers/refusals.hpp>
#include <span>
#include <type_traits>

/// Functions that a layer may have and that are looked for. They are found by their names, whatever their signatures: one that
/// cannot be called as the library would is refused, never passed over.
namespace snug::SNUG_TARGET {

namespace layer {

/// The layer has parameters that come with an adapter.
template <class L>
inline constexpr bool has_adapter =
    []<class... P>(meta::list<P...>) { return (is_of_adapter<L, P> || ... || false); }(parameters<L>{});

/// `start(call, put)`, unless the layer says `starts = false`.
template <class L>
inline constexpr bool says_start = names_start<L>&& starts<L>;

template <class L, class Call, class Put>
inline constexpr bool can_start = requires(Call const& call, Put const& put) {
    L::start(call, put);
};
template <class L, class Call>
inline constexpr bool can_refresh = requires(Call const& call) {
    L::refresh(call);
};
template <class L, class Call, class Parameter>
inline constexpr bool can_merge = requires(Call const& call, index_t row, std::span<float> values) {
    L::merged_row(call, Parameter{}, row, values);
};

}  // namespace layer

namespace refusal {

template <class Layer, bool CanBeCalled>
struct start_of_a_layer_cannot_be_called {
    static_assert(CanBeCalled,
                  "snug: a layer's 'start' cannot be called with (call, put) (see Layer). Write "
                  "'static void start(auto const& call, auto const& put)': put(parameter{}, element, value) "
                  "stores what the layer takes from new base weights");
};

template <class Layer, bool CanBeCalled>
struct refresh_of_a_layer_with_derived_parameters_cannot_be_called {
    static_assert(CanBeCalled,
                  "snug: a layer with derived parameters has no 'refresh' that can be called with (call) "
                  "(see Layer). Write 'static void refresh(auto const& call)'");
};

template <class Layer, class Parameter, bool CanBeCalled>
struct an_adapter_does_not_say_how_it_is_merged {
    static_assert(
        CanBeCalled,
        "snug: an adapter cannot be merged into the weights: its layer has no 'merged_row' that can "
        "be called with (call, parameter, row, values) (see Layer and Parameter). Write 'static void "
        "merged_row(auto const& call, auto parameter, snug::index_t row, std::span<float> "
        "values)': it turns one row of a weight or an element of a bias into that of a model "
        "without adapter");
};

template <class Layer, class Parameter, bool IsTheModels>
struct a_parameter_of_an_adapted_layer_is_neither_the_models_nor_the_adapters {
    static_assert(
        IsTheModels,
        "snug: a layer of an adapter has a parameter that the model does not have, and that is not in "
        "'adapter_parameters' (see Layer and Parameter)");
};

template <class Adapter, class Model, bool HasAll>
struct a_parameter_of_the_model_is_missing_under_its_adapter {
    static_assert(
        HasAll,
        "snug: a parameter that the model has without its adapter is not there with it (see Adapter and "
        "Model): a layer of the adapter leaves out the bias of the layer that it replaces");
};

}  // namespace refusal

namespace layer {

/// The layer's `start`, if it has one.
template <class L, class Call, class Put>
void start(Call const& call, Put const& put) {
    if constexpr (says_start<L>) {
        constexpr bool can = can_start<L, Call, Put>;
        static_assert(sizeof(refusal::start_of_a_layer_cannot_be_called<L, can>) > 0);
        if constexpr (can) L::start(call, put);
    }
}

/// The layer's `refresh`, if it has derived parameters.
template <class L, class Call>
void refresh(Call const& call) {
    if constexpr (has_derived<L>) {
        constexpr bool can = can_refresh<L, Call>;
        static_assert(sizeof(refusal::refresh_of_a_layer_with_derived_parameters_cannot_be_called<L, can>) >
                      0);
        if constexpr (can) L::refresh(call);
    }
}

}  // namespace layer
}  // namespace snug::SNUG_TARGET
