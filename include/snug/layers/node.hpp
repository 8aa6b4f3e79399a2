// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <snug/layers/traits.hpp>

namespace snug::SNUG_TARGET {

namespace layer {

template <class L>
constexpr int parameter_declarations() {
    if constexpr (composite<L>)
        return []<class... Children>(meta::list<Children...>*) {
            return (parameter_declarations<Children>() + ... + 0);
        }(static_cast<children_with_parameters<L>*>(nullptr));
    else return static_cast<int>(meta::size<parameters<L>>);
}

/// Buffers of a leaf: what it saves, then the workspace of forward and that of backward.
template <class L>
constexpr int buffer_declarations() {
    if constexpr (composite<L>)
        return []<class... Children>(meta::list<Children...>*) {
            return L::own_buffers + (buffer_declarations<Children>() + ... + 0);
        }(static_cast<typename L::children*>(nullptr));
    else return static_cast<int>(meta::size<saved<L>>) + 2;
}

/// Some parameter of a layer, or of what is inside it, trains.
template <class L>
constexpr bool trains_anything() {
    if constexpr (composite<L>)
        return []<class... Children>(meta::list<Children...>*) {
            return (trains_anything<Children>() || ... || false);
        }(static_cast<typename L::children*>(nullptr));
    else
        return []<class... Parameters>(meta::list<Parameters...>*) {
            return (trains<L, Parameters> || ... || false);
        }(static_cast<parameters<L>*>(nullptr));
}

}  // namespace layer

/// A layer at its place in a model: where its parameters and buffers stand in the tables of declarations. The buffers
/// of a leaf are those that it saves, then the workspace of forward and that of backward. `KeepsOutputGradient`:
/// somebody still needs the gradient of the output after this layer's backward. `IsFirst`: nothing before it trains, so
/// nobody needs the gradient of its input.
template <class Layer, int FirstParameter, int FirstBuffer, bool KeepsOutputGradient, bool IsFirst = false>
struct node {
    using type = Layer;
    static constexpr int first_parameter = FirstParameter;
    static constexpr int first_buffer = FirstBuffer;
    static constexpr int saved_count = static_cast<int>(meta::size<layer::saved<Layer>>);
    static constexpr int last_buffer = FirstBuffer + layer::buffer_declarations<Layer>();
    static constexpr bool keeps_output_gradient = KeepsOutputGradient;
    static constexpr bool is_first = IsFirst;
    /// Nothing up to it trains: it has no backward, and leaves nothing for one.
    static constexpr bool is_forward_only = IsFirst && !layer::trains_anything<Layer>();

    static constexpr int saved(int i) { return first_buffer + i; }
    static constexpr int workspace(pass which) {
        return first_buffer + saved_count + (which == pass::backward ? 1 : 0);
    }
};

}  // namespace snug::SNUG_TARGET
