// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <concepts>
#include <snug/kernels/sinks.hpp>
#include <snug/layers/layer.hpp>
#include <snug/ops/operation.hpp>
#include <snug/policy.hpp>
#include <type_traits>

/// What a layer says of itself is either understood or refused by name: a hook that is there and cannot be called the way
/// snug calls it would otherwise count as absent.
namespace snug::SNUG_TARGET {

namespace layer {

/// Every name that snug looks for in a layer, ...
struct names_of_hooks {
    int forward, backward, forward_workspace, backward_workspace, work, save, refresh, start, merged_row,
        loss, parameters, saved, backward_reads_input, backward_reads_output, backward_writes_over_input,
        backward_writes_over_gradient, cheap_to_recompute, stores_products, saves_without_output, starts,
        parameters_are_frozen, keeps_input, changes_input, change_input, forward_on_changed,
        backward_reads_parameters;
};
/// ... so that in here exactly those names are ambiguous that the layer has too, whatever it means by them.
template <class L>
struct twice_named : L, names_of_hooks {};

// clang-format off: one line a name
template <class L>
concept names_forward = !requires {
    &twice_named<L>::forward;
};
template <class L>
concept names_backward = !requires {
    &twice_named<L>::backward;
};
template <class L>
concept names_forward_workspace = !requires {
    &twice_named<L>::forward_workspace;
};
template <class L>
concept names_backward_workspace = !requires {
    &twice_named<L>::backward_workspace;
};
template <class L>
concept names_work = !requires {
    &twice_named<L>::work;
};
template <class L>
concept names_save = !requires {
    &twice_named<L>::save;
};
template <class L>
concept names_refresh = !requires {
    &twice_named<L>::refresh;
};
template <class L>
concept names_start = !requires {
    &twice_named<L>::start;
};
template <class L>
concept names_merged_row = !requires {
    &twice_named<L>::merged_row;
};
template <class L>
concept names_loss = !requires {
    &twice_named<L>::loss;
};
template <class L>
concept names_parameters = !requires {
    &twice_named<L>::parameters;
};
template <class L>
concept names_saved = !requires {
    &twice_named<L>::saved;
};
template <class L>
concept names_backward_reads_input = !requires {
    &twice_named<L>::backward_reads_input;
};
template <class L>
concept names_backward_reads_output = !requires {
    &twice_named<L>::backward_reads_output;
};
template <class L>
concept names_backward_writes_over_input = !requires {
    &twice_named<L>::backward_writes_over_input;
};
template <class L>
concept names_backward_writes_over_gradient = !requires {
    &twice_named<L>::backward_writes_over_gradient;
};
template <class L>
concept names_cheap_to_recompute = !requires {
    &twice_named<L>::cheap_to_recompute;
};
template <class L>
concept names_stores_products = !requires {
    &twice_named<L>::stores_products;
};
template <class L>
concept names_saves_without_output = !requires {
    &twice_named<L>::saves_without_output;
};
template <class L>
concept names_starts = !requires {
    &twice_named<L>::starts;
};
template <class L>
concept names_parameters_are_frozen = !requires {
    &twice_named<L>::parameters_are_frozen;
};
template <class L>
concept names_backward_reads_parameters = !requires {
    &twice_named<L>::backward_reads_parameters;
};
template <class L>
concept names_keeps_input = !requires {
    &twice_named<L>::keeps_input;
};
template <class L>
concept names_changes_input = !requires {
    &twice_named<L>::changes_input;
};
template <class L>
concept names_change_input = !requires {
    &twice_named<L>::change_input;
};
template <class L>
concept names_forward_on_changed = !requires {
    &twice_named<L>::forward_on_changed;
};

/// Absent, or a constant of type bool.
template <class L>
concept knows_backward_reads_input = !names_backward_reads_input<L> || requires {
    requires std::same_as<decltype(L::backward_reads_input), bool const>;
    typename std::bool_constant<L::backward_reads_input>;
};
template <class L>
concept knows_backward_reads_output = !names_backward_reads_output<L> || requires {
    requires std::same_as<decltype(L::backward_reads_output), bool const>;
    typename std::bool_constant<L::backward_reads_output>;
};
template <class L>
concept knows_backward_writes_over_input = !names_backward_writes_over_input<L> || requires {
    requires std::same_as<decltype(L::backward_writes_over_input), bool const>;
    typename std::bool_constant<L::backward_writes_over_input>;
};
template <class L>
concept knows_backward_writes_over_gradient = !names_backward_writes_over_gradient<L> || requires {
    requires std::same_as<decltype(L::backward_writes_over_gradient), bool const>;
    typename std::bool_constant<L::backward_writes_over_gradient>;
};
template <class L>
concept knows_cheap_to_recompute = !names_cheap_to_recompute<L> || requires {
    requires std::same_as<decltype(L::cheap_to_recompute), bool const>;
    typename std::bool_constant<L::cheap_to_recompute>;
};
template <class L>
concept knows_stores_products = !names_stores_products<L> || requires {
    requires std::same_as<decltype(L::stores_products), bool const>;
    typename std::bool_constant<L::stores_products>;
};
template <class L>
concept knows_saves_without_output = !names_saves_without_output<L> || requires {
    requires std::same_as<decltype(L::saves_without_output), bool const>;
    typename std::bool_constant<L::saves_without_output>;
};
template <class L>
concept knows_starts = !names_starts<L> || requires {
    requires std::same_as<decltype(L::starts), bool const>;
    typename std::bool_constant<L::starts>;
};
template <class L>
concept knows_parameters_are_frozen = !names_parameters_are_frozen<L> || requires {
    requires std::same_as<decltype(L::parameters_are_frozen), bool const>;
    typename std::bool_constant<L::parameters_are_frozen>;
};
template <class L>
concept knows_backward_reads_parameters = !names_backward_reads_parameters<L> || requires {
    requires std::same_as<decltype(L::backward_reads_parameters), bool const>;
    typename std::bool_constant<L::backward_reads_parameters>;
};
template <class L>
concept knows_keeps_input = !names_keeps_input<L> || requires {
    requires std::same_as<decltype(L::keeps_input), bool const>;
    typename std::bool_constant<L::keeps_input>;
};
template <class L>
concept knows_changes_input = !names_changes_input<L> || requires {
    requires std::same_as<decltype(L::changes_input), bool const>;
    typename std::bool_constant<L::changes_input>;
};
// clang-format on

template <class P>
concept declared_parameter = requires {
    P::name.view();
    P::shape::count;
    requires is_derived<P> || requires { typename P::initial; };
};
template <class B>
concept declared_buffer = requires {
    B::name.view();
    B::per_token;
    typename B::element;
};

template <class List>
inline constexpr bool lists_parameters = false;
template <class... P>
inline constexpr bool lists_parameters<meta::list<P...>> = (declared_parameter<P> && ... && true);
template <class List>
inline constexpr bool lists_buffers = false;
template <class... B>
inline constexpr bool lists_buffers<meta::list<B...>> = (declared_buffer<B> && ... && true);

template <class L>
concept knows_parameters = !names_parameters<L> || requires {
    requires lists_parameters<typename L::parameters>;
};
template <class L>
concept knows_saved = !names_saved<L> || requires {
    requires lists_buffers<typename L::saved>;
};

/// What a layer's functions are called with.
template <class L, class Setting>
struct arguments {
    using element = typename Setting::activation;
    using call = layer_call<L, Setting> const&;
    using x = matrix<input_element<L, Setting>, L::input_width>;
    using y = matrix<element, L::output_width>;
    using stored_y = written<element, L::output_width>;
    using stored_dx = written<element, L::input_width>;

    /// What `start` is given to put a parameter's values with.
    struct put {
        template <class Parameter, class Value>
        void operator()(Parameter, index_t, Value) const;
    };
};

// Not under nvcc: it would spell the types of kernels, which are met here first, by way of the layer's name, and cannot read that again.
template <class L, class A>
concept runs_forward = takes_bodies_for_granted || requires {
    L::forward(std::declval<typename A::call>(), std::declval<typename A::x>(),
               std::declval<typename A::stored_y>());
};
template <class L, class A>
concept runs_backward = takes_bodies_for_granted || requires {
    L::backward(std::declval<typename A::call>(), std::declval<typename A::x>(),
                std::declval<typename A::y>(), std::declval<typename A::y>(),
                std::declval<typename A::stored_dx>());
};
template <class L, class Setting>
concept sizes_forward_workspace = requires {
    typename std::integral_constant<index_t, L::template forward_workspace<setting_of<Setting, L>>()>;
};
template <class L, class Setting>
concept sizes_backward_workspace = requires {
    typename std::integral_constant<index_t, L::template backward_workspace<setting_of<Setting, L>>()>;
};
template <class L, class A>
concept runs_save = takes_bodies_for_granted || requires {
    L::save(std::declval<typename A::call>(), std::declval<typename A::x>());
};
template <class L, class A>
concept runs_change_input = takes_bodies_for_granted || requires {
    L::change_input(std::declval<typename A::call>(), std::declval<typename A::x>());
};
template <class L, class A>
concept runs_forward_on_changed = takes_bodies_for_granted || requires {
    L::forward_on_changed(std::declval<typename A::call>(), std::declval<typename A::x>(),
                          std::declval<typename A::stored_y>());
};
template <class L, class A>
concept runs_refresh = takes_bodies_for_granted || requires {
    L::refresh(std::declval<typename A::call>());
};
template <class L, class A>
concept runs_start = takes_bodies_for_granted || requires {
    L::start(std::declval<typename A::call>(), std::declval<typename A::put const&>());
};

/// `start` is there for this layer: it is, unless the layer says that it does not start.
template <class L>
inline constexpr bool starts = true;
template <class L>
    requires requires { L::starts; }
inline constexpr bool starts<L> = L::starts;

/// What refusals call the constants of a layer.
namespace constant {
struct backward_reads_input;
struct backward_reads_output;
struct backward_writes_over_input;
struct backward_writes_over_gradient;
struct cheap_to_recompute;
struct stores_products;
struct saves_without_output;
struct starts;
struct parameters_are_frozen;
struct keeps_input;
struct changes_input;
struct backward_reads_parameters;
}  // namespace constant

}  // namespace layer

namespace refusal {

template <class Layer>
struct a_layer_is_not_final {
    static constexpr bool holds = !std::is_final_v<Layer>;
    static_assert(holds,
                  "snug: a layer is not 'final': snug::named and snug::frozen derive from it (see Layer)");
};

template <class Layer, class Constant, bool IsUnderstood>
struct a_constant_of_a_layer_is_a_static_constexpr_bool {
    static constexpr bool holds = IsUnderstood;
    static_assert(
        holds,
        "snug: a layer has something of this name that is no 'static constexpr bool' (see Layer and "
        "Constant, and docs/layers.md)");
};

template <class Layer, bool IsUnderstood>
struct the_parameters_of_a_layer_are_a_list {
    static constexpr bool holds = IsUnderstood;
    static_assert(
        holds,
        "snug: a layer's 'parameters' is a public type, snug::meta::list of snug::parameter<\"name\", "
        "snug::shape<...>, initial>, and of nothing else (see Layer)");
};

template <class Layer, bool IsUnderstood>
struct the_saved_buffers_of_a_layer_are_a_list {
    static constexpr bool holds = IsUnderstood;
    static_assert(
        holds,
        "snug: a layer's 'saved' is a public type, snug::meta::list of snug::saved_per_token<\"name\", "
        "element, how many>, and of nothing else (see Layer)");
};

template <class Layer, bool IsThere, bool CanBeCalled>
struct a_layer_runs_forward {
    static constexpr bool holds = IsThere && CanBeCalled;
    static_assert(IsThere,
                  "snug: a layer needs 'static void forward(auto const& call, auto x, auto y)', which stores "
                  "with y(row, column, value) (see Layer)");
    static_assert(holds || !IsThere,
                  "snug: a layer's 'forward' cannot be called as forward(call, x, y): it is a public 'static "
                  "void forward(auto const& call, auto x, auto y)' (see Layer)");
};

template <class Layer, bool IsThere, bool CanBeCalled>
struct a_layer_runs_backward {
    static constexpr bool holds = IsThere && CanBeCalled;
    static_assert(IsThere,
                  "snug: a layer needs 'static void backward(auto const& call, auto x, auto y, auto dy, auto "
                  "dx)', which stores the gradient of x with dx(row, column, value) (see Layer)");
    static_assert(
        holds || !IsThere,
        "snug: a layer's 'backward' cannot be called as backward(call, x, y, dy, dx): it is a public "
        "'static void backward(auto const& call, auto x, auto y, auto dy, auto dx)' (see Layer)");
};

template <class Layer, bool IsUnderstood>
struct the_forward_workspace_of_a_layer_is_a_constant_of_the_setting {
    static constexpr bool holds = IsUnderstood;
    static_assert(
        holds,
        "snug: a layer's 'forward_workspace' is a public 'template <class Setting> static constexpr "
        "index_t forward_workspace()', in bytes, and cannot be called so (see Layer)");
};

template <class Layer, bool IsUnderstood>
struct the_backward_workspace_of_a_layer_is_a_constant_of_the_setting {
    static constexpr bool holds = IsUnderstood;
    static_assert(
        holds,
        "snug: a layer's 'backward_workspace' is a public 'template <class Setting> static constexpr "
        "index_t backward_workspace()', in bytes, and cannot be called so (see Layer)");
};

template <class Layer, bool IsUnderstood>
struct the_work_of_a_layer_is_a_constant_of_the_setting {
    static constexpr bool holds = IsUnderstood;
    static_assert(
        holds,
        "snug: a layer's 'work' is a public 'template <class Setting> static constexpr snug::layer_work "
        "work()', and cannot be called so (see Layer)");
};

template <class Layer, bool IsThere>
struct a_layer_does_not_say_what_its_calls_do {
    static constexpr bool holds = IsThere;
    static_assert(
        holds,
        "snug: snug::work<T> cannot count a layer that does not say what its calls do (see Layer), nor can "
        "checkpointing::within. Give it 'template <class Setting> static constexpr snug::layer_work work()': "
        "operations and bytes of "
        ".forward and .backward (see docs/layers.md)");
};

template <class Layer, bool IsNamed, bool IsAnnounced, bool CanBeCalled>
struct a_layer_saves_without_output {
    static constexpr bool holds = IsNamed == IsAnnounced && (CanBeCalled || !IsAnnounced);
    static_assert(
        IsAnnounced || !IsNamed,
        "snug: a layer has 'save', which is called only of a layer that says 'static constexpr bool "
        "saves_without_output = true' (see Layer)");
    static_assert(
        holds || !IsAnnounced,
        "snug: a layer that 'saves_without_output' needs a public 'static void save(auto const& call, "
        "auto x)' (see Layer)");
};

template <class Layer, bool IsWanted, bool CanBeCalled>
struct a_layer_refreshes_its_derived_parameters {
    static constexpr bool holds = CanBeCalled || !IsWanted;
    static_assert(holds,
                  "snug: 'refresh', which a layer with a derived_parameter needs, is a public 'static void "
                  "refresh(auto const& call)', and cannot be called so (see Layer)");
};

template <class Layer, bool ChangesInput, bool RunsOnChanged>
struct a_layer_says_how_it_changes_its_input {
    static constexpr bool holds = ChangesInput && RunsOnChanged;
    static_assert(
        holds,
        "snug: a layer's 'change_input' is a public 'static void change_input(auto const& call, auto x)', "
        "its 'forward_on_changed' a 'static void forward_on_changed(auto const& call, auto x, auto y)', and "
        "one of them cannot be called so (see Layer)");
};

template <class Layer, bool IsWanted, bool CanBeCalled>
struct the_start_of_a_layer_is_given_a_call_and_a_put {
    static constexpr bool holds = CanBeCalled || !IsWanted;
    static_assert(
        holds,
        "snug: a layer's 'start' is a public 'static void start(auto const& call, auto const& put)', "
        "which sets values with put(parameter, i, value), and cannot be called so (see Layer)");
};

}  // namespace refusal

namespace detail {

/// What a layer declares, whatever it is run with.
template <class L, bool CanBeDerivedFrom = !std::is_final_v<L>>
struct declared_well : accepted<refusal::a_layer_is_not_final<L>> {};
template <class L>
struct declared_well<L, true>
    : accepted<
          refusal::the_parameters_of_a_layer_are_a_list<L, layer::knows_parameters<L>>,
          refusal::the_saved_buffers_of_a_layer_are_a_list<L, layer::knows_saved<L>>,
          refusal::a_constant_of_a_layer_is_a_static_constexpr_bool<L, layer::constant::backward_reads_input,
                                                                    layer::knows_backward_reads_input<L>>,
          refusal::a_constant_of_a_layer_is_a_static_constexpr_bool<L, layer::constant::backward_reads_output,
                                                                    layer::knows_backward_reads_output<L>>,
          refusal::a_constant_of_a_layer_is_a_static_constexpr_bool<
              L, layer::constant::backward_writes_over_input, layer::knows_backward_writes_over_input<L>>,
          refusal::a_constant_of_a_layer_is_a_static_constexpr_bool<
              L, layer::constant::backward_writes_over_gradient,
              layer::knows_backward_writes_over_gradient<L>>,
          refusal::a_constant_of_a_layer_is_a_static_constexpr_bool<L, layer::constant::cheap_to_recompute,
                                                                    layer::knows_cheap_to_recompute<L>>,
          refusal::a_constant_of_a_layer_is_a_static_constexpr_bool<L, layer::constant::stores_products,
                                                                    layer::knows_stores_products<L>>,
          refusal::a_constant_of_a_layer_is_a_static_constexpr_bool<L, layer::constant::saves_without_output,
                                                                    layer::knows_saves_without_output<L>>,
          refusal::a_constant_of_a_layer_is_a_static_constexpr_bool<L, layer::constant::starts,
                                                                    layer::knows_starts<L>>,
          refusal::a_constant_of_a_layer_is_a_static_constexpr_bool<L, layer::constant::parameters_are_frozen,
                                                                    layer::knows_parameters_are_frozen<L>>,
          refusal::a_constant_of_a_layer_is_a_static_constexpr_bool<
              L, layer::constant::backward_reads_parameters, layer::knows_backward_reads_parameters<L>>,
          refusal::a_constant_of_a_layer_is_a_static_constexpr_bool<L, layer::constant::keeps_input,
                                                                    layer::knows_keeps_input<L>>,
          refusal::a_constant_of_a_layer_is_a_static_constexpr_bool<L, layer::constant::changes_input,
                                                                    layer::knows_changes_input<L>>> {};

/// How a layer of a trainer runs.
template <class L, class Setting>
struct leaf_runs {
    using with = layer::arguments<L, Setting>;
    static constexpr bool value = accepted<
        refusal::a_layer_runs_forward<L, layer::names_forward<L>, layer::runs_forward<L, with>>,
        refusal::a_layer_runs_backward<L, layer::names_backward<L>, layer::runs_backward<L, with>>,
        refusal::the_forward_workspace_of_a_layer_is_a_constant_of_the_setting<
            L, !layer::names_forward_workspace<L> || layer::sizes_forward_workspace<L, Setting>>,
        refusal::the_backward_workspace_of_a_layer_is_a_constant_of_the_setting<
            L, !layer::names_backward_workspace<L> || layer::sizes_backward_workspace<L, Setting>>,
        refusal::the_work_of_a_layer_is_a_constant_of_the_setting<L, !layer::names_work<L> ||
                                                                         layer::says_work<L, Setting>>,
        refusal::a_layer_saves_without_output<L, layer::names_save<L>, layer::saves_without_output<L>,
                                              layer::runs_save<L, with>>,
        refusal::a_layer_says_how_it_changes_its_input<
            L, !layer::names_change_input<L> || layer::runs_change_input<L, with>,
            !layer::names_forward_on_changed<L> || layer::runs_forward_on_changed<L, with>>,
        refusal::a_layer_refreshes_its_derived_parameters<L, layer::has_derived<L> || layer::names_refresh<L>,
                                                          layer::runs_refresh<L, with>>,
        refusal::the_start_of_a_layer_is_given_a_call_and_a_put<L, layer::names_start<L> && layer::starts<L>,
                                                                layer::runs_start<L, with>>>::value;
};

/// The leaves of L run; a wrong declaration is refused before anything is asked of it.
template <class L, class Setting>
struct layers_run : std::conjunction<declared_well<L>, leaf_runs<L, Setting>> {};
template <class Children, class Setting>
struct each_layer_runs;
template <class... Children, class Setting>
struct each_layer_runs<meta::list<Children...>, Setting> {
    static constexpr bool value = (layers_run<Children, Setting>::value && ... && true);
};
template <layer::composite L, class Setting>
struct layers_run<L, Setting> : each_layer_runs<typename L::children, Setting> {};

}  // namespace detail
}  // namespace snug::SNUG_TARGET
