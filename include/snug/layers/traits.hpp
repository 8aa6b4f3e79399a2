// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <snug/layers/declare.hpp>
#include <snug/meta.hpp>
#include <string_view>
#include <type_traits>

/// What a layer is asked: its constants, types and hooks, or the answer of a layer that does not have them.
namespace snug::SNUG_TARGET {

/// Everything a layer may depend on besides itself: sizes, element types and the backend.
template <index_t Sequences, index_t Tokens, class Precision, class Backend>
struct setting {
    static constexpr index_t sequences = Sequences;
    static constexpr index_t tokens = Tokens;
    static constexpr index_t rows = Sequences * Tokens;
    using weight = typename Precision::weight;
    using activation = typename Precision::activation;
    using gradient = typename Precision::gradient;
    using statistic = typename Precision::statistic;
    using backend = Backend;

    /// Training changes this parameter: of a layer that nobody froze.
    template <class Parameter>
    static constexpr bool trains(Parameter) {
        return true;
    }
};

template <class Setting, class Layer>
struct setting_of;

template <class Element, class Setting>
using resolved = std::conditional_t<
    std::is_same_v<Element, activation>, typename Setting::activation,
    std::conditional_t<std::is_same_v<Element, statistic>, typename Setting::statistic, Element>>;

/// Which of a layer's two functions runs. What runs beside them (`save`, `refresh`, the loss of a head) counts as forward.
enum class pass { forward, backward };

namespace layer {

template <class L>
concept composite = requires {
    typename L::children;
};

template <class L>
struct parameters_of {
    using type = meta::list<>;
};
template <class L>
    requires requires { typename L::parameters; }
struct parameters_of<L> {
    using type = typename L::parameters;
};
template <class L>
using parameters = typename parameters_of<L>::type;

template <class L>
struct saved_of {
    using type = meta::list<>;
};
template <class L>
    requires requires { typename L::saved; }
struct saved_of<L> {
    using type = typename L::saved;
};
template <class L>
using saved = typename saved_of<L>::type;

/// Backward reads the layer's input (the default: most layers do).
template <class L>
inline constexpr bool backward_reads_input = true;
template <class L>
    requires requires { L::backward_reads_input; }
inline constexpr bool backward_reads_input<L> = L::backward_reads_input;

/// Backward reads the values of the layer's parameters (the default: most layers do).
template <class L>
inline constexpr bool backward_reads_parameters = true;
template <class L>
    requires requires { L::backward_reads_parameters; }
inline constexpr bool backward_reads_parameters<L> = L::backward_reads_parameters;

/// Backward reads the layer's output.
template <class L>
inline constexpr bool backward_reads_output = false;
template <class L>
    requires requires { L::backward_reads_output; }
inline constexpr bool backward_reads_output<L> = L::backward_reads_output;

/// dx may be stored where x is: backward has no more use for x where it stores.
template <class L>
inline constexpr bool backward_writes_over_input = false;
template <class L>
    requires requires { L::backward_writes_over_input; }
inline constexpr bool backward_writes_over_input<L> = L::backward_writes_over_input;

/// dx may be stored where dy is.
template <class L>
inline constexpr bool backward_writes_over_gradient = false;
template <class L>
    requires requires { L::backward_writes_over_gradient; }
inline constexpr bool backward_writes_over_gradient<L> = L::backward_writes_over_gradient;

/// Forward costs one pass over its rows, and backward reads the input anyway: a checkpointing policy may run it again
/// instead of keeping its output.
template <class L>
inline constexpr bool cheap_to_recompute = false;
template <class L>
    requires requires { L::cheap_to_recompute; }
inline constexpr bool cheap_to_recompute<L> = L::cheap_to_recompute && backward_reads_input<L>;

/// What forward left of x is read again, by backward or by the next call of forward: x is kept as it is then. Attention
/// turns queries and keys where they lie, and in generation finds there those of the tokens before.
template <class L>
inline constexpr bool keeps_input = false;
template <class L>
    requires requires { L::keeps_input; }
inline constexpr bool keeps_input<L> = L::keeps_input;

/// Forward changes x where it lies, so that running it on what it left is something else (`forward_on_changed`), and a
/// layer that computes x again leaves what backward can't read before `change_input`.
template <class L>
inline constexpr bool changes_input = keeps_input<L>;
template <class L>
    requires requires { L::changes_input; }
inline constexpr bool changes_input<L> = L::changes_input;

/// Backward runs the layer's forward again instead of reading an output that was kept: a `recomputed<L>`.
template <class L>
inline constexpr bool is_recomputed = requires {
    requires L::is_recomputed;
};

/// The children of a composite have the same parameters: they are declared once, as those of the first.
template <class L>
inline constexpr bool shares_parameters = requires {
    requires L::shares_parameters;
};

template <class L>
constexpr std::string_view name() {
    if constexpr (requires { L::name; }) return L::name.view();
    else return {};
}

/// The name of a layer's output as a value: the layer's, or where several layers have none together, as in a residual
/// connection, that of the last of them.
template <class L>
constexpr std::string_view name_of_value() {
    if constexpr (composite<L>)
        if (name<L>().empty()) return name_of_value<meta::mp::mp_back<typename L::children>>();
    return name<L>();
}

/// y = f(x), element by element: a neighbour may do it where it stores.
template <class L>
concept elementwise = requires {
    typename L::elementwise_function;
};

/// A product stores the layer's output, and another one, last of all, the gradient of its input.
template <class L>
inline constexpr bool stores_products = false;
template <class L>
    requires requires { L::stores_products; }
inline constexpr bool stores_products<L> = L::stores_products;

/// `save(call, x)` fills the layer's saved buffers without its output.
template <class L>
inline constexpr bool saves_without_output = false;
template <class L>
    requires requires { L::saves_without_output; }
inline constexpr bool saves_without_output<L> = L::saves_without_output;

/// The layer has parameters that follow from others, and `refresh(call)` to compute them.
template <class L>
inline constexpr bool has_derived =
    []<class... P>(meta::list<P...>) { return (is_derived<P> || ... || false); }(parameters<L>{});

template <class L, class Setting>
constexpr index_t forward_workspace() {
    if constexpr (requires { L::template forward_workspace<Setting>(); }) {
        constexpr index_t size = L::template forward_workspace<setting_of<Setting, L>>();
        static_assert(size >= 0, "snug: a layer's forward_workspace is a negative number of bytes");
        return size;
    } else {
        return 0;
    }
}

template <class L, class Setting>
constexpr index_t backward_workspace() {
    if constexpr (requires { L::template backward_workspace<Setting>(); }) {
        constexpr index_t size = L::template backward_workspace<setting_of<Setting, L>>();
        static_assert(size >= 0, "snug: a layer's backward_workspace is a negative number of bytes");
        return size;
    } else {
        return 0;
    }
}

/// The layer says how much workspace this pass needs; only then it gets any.
template <class L, class Setting, pass Pass>
inline constexpr bool declares_workspace = requires {
    L::template forward_workspace<Setting>();
};
template <class L, class Setting>
inline constexpr bool declares_workspace<L, Setting, pass::backward> = requires {
    L::template backward_workspace<Setting>();
};

/// The element type of a layer's input: activations unless it says otherwise (an embedding reads tokens).
template <class L, class Setting>
struct input_element_of {
    using type = typename Setting::activation;
};
template <class L, class Setting>
    requires requires { typename L::input_element; }
struct input_element_of<L, Setting> {
    using type = typename L::input_element;
};
template <class L, class Setting>
using input_element = typename input_element_of<L, Setting>::type;

/// The parameter comes with an adapter, which lists it in `adapter_parameters`, and not with the model.
template <class L, class Parameter>
inline constexpr bool is_of_adapter = false;
template <class L, class Parameter>
    requires requires { typename L::adapter_parameters; }
inline constexpr bool is_of_adapter<L, Parameter> = meta::contains<typename L::adapter_parameters, Parameter>;

/// The children of a composite that declare parameters.
template <class L>
using children_with_parameters =
    meta::mp::mp_take_c<typename L::children,
                        shares_parameters<L> ? 1
                                             : static_cast<std::size_t>(meta::size<typename L::children>)>;

/// All parameters of a layer and of what is inside it, in the order of their declarations.
template <class L>
struct all_parameters_of {
    using type = parameters<L>;
};
template <class... Children>
struct all_parameters_of<meta::list<Children...>> {
    using type = meta::mp::mp_append<typename all_parameters_of<Children>::type...>;
};
template <composite L>
struct all_parameters_of<L> : all_parameters_of<children_with_parameters<L>> {};

}  // namespace layer

namespace layer {

template <class L>
concept frozen_layer = requires {
    L::parameters_are_frozen;
};

/// Training changes this parameter of this layer.
template <class L, class Parameter>
inline constexpr bool trains = !frozen_layer<L> && !is_derived<Parameter> && !requires {
    typename Parameter::scheme;
};

}  // namespace layer

/// A setting as a layer sees it, which knows what of it trains: what is not needed then is not declared.
template <class Setting, class Layer>
struct setting_of : Setting {
    template <class Parameter>
    static constexpr bool trains(Parameter) {
        return layer::trains<Layer, Parameter>;
    }
};

}  // namespace snug::SNUG_TARGET
