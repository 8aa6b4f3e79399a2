// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <concepts>
#include <ratio>
#include <snug/kernels/random.hpp>
#include <snug/memory/declaration.hpp>
#include <snug/memory/recorder.hpp>
#include <snug/memory/tensor.hpp>
#include <snug/quantization/matrix.hpp>
#include <snug/quantization/none.hpp>
#include <type_traits>

/// A layer is a struct that declares what it needs and says how to run forward and backward; see docs/layers.md.
/// A leaf layer has `input_width`, `output_width` and two functions,
///
///     static void forward(auto const& call, auto x, auto y);                 // y(row, column, value) stores
///     static void backward(auto const& call, auto x, auto y, auto dy, auto dx);
///
/// and may declare `parameters`, `saved`, `forward_workspace<Setting>()`, `backward_workspace<Setting>()`, the four
/// `backward_...` constants, `cheap_to_recompute` and `stores_products` below. When a block runs again and nobody needs the
/// output of its last layer, `save(call, x)` fills that layer's `saved` buffers alone, if the layer `saves_without_output`;
/// otherwise `forward` runs into nowhere. A composite layer (`sequence`, `residual`, `repeat`) has children.
/// Layers call operations (`snug::ops`); they know neither backend nor policy.
namespace snug {

// What a layer declares --------------------------------------------------------------------------------------

template <index_t... Dimensions>
struct shape {
    static constexpr int rank = sizeof...(Dimensions);
    static constexpr index_t count = (Dimensions * ... * 1);
    static constexpr std::array<index_t, sizeof...(Dimensions)> dimensions{Dimensions...};
};

/// A trained (or frozen) tensor of the layer. `Initial` is one of `snug::initial` or a user's own.
template <text Name, class Shape, class Initial>
struct parameter {
    static constexpr auto name = Name;
    using shape = Shape;
    using initial = Initial;
};

namespace detail {

template <class Shape, class Scheme>
struct stored_by {
    static_assert(Shape::rank == 2, "snug: a quantized parameter is a matrix");
    static constexpr quantization::shape extent{Shape::dimensions[0], Shape::dimensions[1]};
    /// Bytes of one copy; the next one starts on a multiple of 64 as well.
    static constexpr index_t stored_bytes = round_up(Scheme::storage(extent).count, 64);
};
template <class Shape>
struct stored_by<Shape, quantization::none> {};

}  // namespace detail

/// A tensor that training does not change: no gradient, no optimizer state, no master copy. A quantization scheme stores it,
/// or with `quantization::none` the precision's weight type.
template <text Name, class Shape, class Initial, class Scheme = quantization::none>
struct frozen_parameter : detail::stored_by<Shape, Scheme> {
    static constexpr auto name = Name;
    using shape = Shape;
    using initial = Initial;
    using scheme = Scheme;
};

/// Numbers that follow from parameters, in the precision's statistic type: the layer's `refresh` computes them again
/// whenever parameters have changed. They are in no file.
template <text Name, class Shape>
struct derived_parameter {
    static constexpr auto name = Name;
    using shape = Shape;
    static constexpr bool is_derived = true;
};

template <class Parameter>
inline constexpr bool is_quantized = requires {
    Parameter::stored_bytes;
};
template <class Parameter>
inline constexpr bool is_derived = requires {
    Parameter::is_derived;
};

/// The layer with parameters that training does not change.
template <class Layer>
struct frozen : Layer {
    static constexpr bool parameters_are_frozen = true;
};

/// Symbolic element types: the precision policy decides what they are.
struct activation {};
struct statistic {};

/// A buffer that forward writes and backward reads: `PerToken` elements for every token of the micro-batch.
template <text Name, class Element, index_t PerToken>
struct saved_per_token {
    static constexpr auto name = Name;
    using element = Element;
    static constexpr index_t per_token = PerToken;
};

/// Gives a layer a name in tensor names, errors and the bill: "blocks.3.qkv.weight".
template <text Name, class Layer>
struct named : Layer {
    static constexpr auto name = Name;
    using unnamed = Layer;
    using itself = named;
};
/// L is `named<Name, Layer>`. nvcc 13.0 never matches a partial specialisation for that, and says nothing.
template <class L>
concept given_name = std::same_as<L, typename L::itself>;

// What a layer is asked --------------------------------------------------------------------------------------

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

/// The checkpointing policy recomputes the outputs of cheap layers (norms, activation functions).
template <class Checkpointing>
inline constexpr bool recomputes_cheap_layers = false;
template <class Checkpointing>
    requires requires { Checkpointing::recomputes_cheap_layers; }
inline constexpr bool recomputes_cheap_layers<Checkpointing> = Checkpointing::recomputes_cheap_layers;

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

template <class L>
constexpr std::string_view name() {
    if constexpr (requires { L::name; }) return L::name.view();
    else return {};
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
    if constexpr (requires { L::template forward_workspace<Setting>(); })
        return L::template forward_workspace<setting_of<Setting, L>>();
    else return 0;
}

template <class L, class Setting>
constexpr index_t backward_workspace() {
    if constexpr (requires { L::template backward_workspace<Setting>(); })
        return L::template backward_workspace<setting_of<Setting, L>>();
    else return 0;
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
struct all_parameters_of<L> : all_parameters_of<typename L::children> {};

// How many declarations a layer makes -----------------------------------------------------------------------

template <class L>
constexpr int parameter_declarations() {
    if constexpr (composite<L>)
        return []<class... Children>(meta::list<Children...>*) {
            return (parameter_declarations<Children>() + ... + 0);
        }(static_cast<typename L::children*>(nullptr));
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

}  // namespace layer

/// A layer at its place in a model: where its parameters and buffers stand in the tables of declarations.
/// `KeepsOutputGradient`: somebody still needs the gradient of the output after this layer's backward.
template <class Layer, int FirstParameter, int FirstBuffer, bool KeepsOutputGradient>
struct node {
    using type = Layer;
    static constexpr int first_parameter = FirstParameter;
    static constexpr int first_buffer = FirstBuffer;
    static constexpr int last_buffer = FirstBuffer + layer::buffer_declarations<Layer>();
    static constexpr bool keeps_output_gradient = KeepsOutputGradient;
};

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

namespace refusal {

template <class Layer, class Parameter>
struct a_layer_adds_to_the_gradient_of_what_is_not_trained {
    static_assert(
        layer::trains<Layer, Parameter>,
        "snug: a layer asks for the gradient of a parameter that this trainer does not train (see Layer and "
        "Parameter). In backward, write 'if constexpr (Call::trains(weight{}))' around what adds to it");
};

template <class Layer, class Setting, pass Pass>
struct a_layer_uses_workspace_that_it_does_not_declare {
    static_assert(
        layer::declares_workspace<Layer, Setting, Pass>,
        "snug: a layer asks for workspace that it did not declare (see Layer and Pass). Give it 'template "
        "<class Setting> static constexpr snug::index_t forward_workspace()', or backward_workspace() for "
        "its "
        "backward: how many bytes; where it has one, see how it is spelt");
};

}  // namespace refusal

/// How many tokens one call sees: `sequences` sequences of `tokens` rows each, the first row of each at
/// position `past` of its sequence. Training: all of the micro-batch, past 0. Generation: one sequence.
struct span_of_tokens {
    index_t sequences = 0;
    index_t tokens = 0;
    index_t past = 0;

    constexpr index_t rows() const { return sequences * tokens; }
};

/// Positions of rows in their examples.
struct row_positions {
    index_t tokens = 0;  ///< of a sequence
    index_t past = 0;
    /// For every row the position in its sequence that its example begins at; null: each sequence is one example.
    std::int32_t const* starts = nullptr;

    constexpr index_t operator()(index_t row) const {
        return past + row % tokens - (starts != nullptr ? starts[row] : 0);
    }
};

/// What dropout is a function of: a key of step and micro-batch, the layer and the block. False outside training.
struct dropout_draws {
    std::uint64_t const* drawn = nullptr;
    std::uint64_t layer = 0;
    std::uint64_t block = 0;

    constexpr explicit operator bool() const { return drawn != nullptr; }
    constexpr std::uint64_t key() const { return random::bits(*drawn, layer, block); }
};

/// What a leaf layer works with in one call: its parameters, their gradients, its saved buffers, its workspace.
template <class Layer, class Setting, pass Pass = pass::forward>
struct layer_call {
    using setting = setting_of<Setting, Layer>;
    using backend = typename Setting::backend;
    using weight_type = typename Setting::weight;
    using gradient_type = typename Setting::gradient;
    using parameters = layer::parameters<Layer>;
    using buffers = layer::saved<Layer>;

    std::array<std::byte*, static_cast<std::size_t>(meta::size<parameters>)> values{};
    std::array<std::byte*, static_cast<std::size_t>(meta::size<parameters>)> gradients{};
    std::array<std::byte*, static_cast<std::size_t>(meta::size<buffers>)> saved_buffers{};
    std::byte* scratch = nullptr;     ///< see `workspace()`
    std::byte* tied_value = nullptr;  ///< of the head, when it shares the embedding's table
    std::byte* tied_gradient = nullptr;
    span_of_tokens span{};
    std::int32_t const* starts = nullptr;  ///< see `row_positions`
    dropout_draws draws{};
    double* partials = nullptr;  ///< room for `ops::sum_partials`

    row_positions positions() const { return {span.tokens, span.past, starts}; }
    /// Position of a row in its example.
    index_t position(index_t row) const { return positions()(row); }

    /// Training changes this parameter, so backward adds to its gradient.
    template <class Parameter>
    static constexpr bool trains(Parameter) {
        return layer::trains<Layer, Parameter>;
    }

    /// The values of a parameter of this layer, in its shape's row-major order.
    template <class Parameter>
    typename Setting::weight const* value(Parameter) const {
        return reinterpret_cast<weight_type const*>(values[position<parameters, Parameter>()]);
    }

    /// The values of a derived parameter, for `refresh` to write and the others to read.
    template <class Parameter>
    typename Setting::statistic* derived(Parameter) const {
        static_assert(is_derived<Parameter>);
        return reinterpret_cast<typename Setting::statistic*>(values[position<parameters, Parameter>()]);
    }

    /// A matrix, quantized or not, as an operand of products.
    template <class Parameter>
    auto operand(Parameter parameter) const {
        if constexpr (is_quantized<Parameter>)
            return quantized_matrix<typename Parameter::scheme, Parameter::extent.rows,
                                    Parameter::extent.columns>{
                Parameter::scheme::view_of(values[position<parameters, Parameter>()], Parameter::extent)};
        else
            return matrix<weight_type const, Parameter::shape::dimensions[1]>{
                value(parameter), Parameter::shape::dimensions[0]};
    }

    /// The gradient of a parameter: backward adds to it.
    template <class Parameter>
    typename Setting::gradient* gradient(Parameter) const {
        static_assert(sizeof(refusal::a_layer_adds_to_the_gradient_of_what_is_not_trained<Layer, Parameter>) >
                      0);
        return reinterpret_cast<gradient_type*>(gradients[position<parameters, Parameter>()]);
    }

    /// The bytes that `forward_workspace` or, in backward, `backward_workspace` of this layer asked for, aligned to 64; null
    /// where it asked for none.
    std::byte* workspace() const {
        static_assert(sizeof(refusal::a_layer_uses_workspace_that_it_does_not_declare<Layer, Setting, Pass>) >
                      0);
        return scratch;
    }

    /// A saved buffer, shape (rows, PerToken).
    template <class Buffer>
    resolved<typename Buffer::element, Setting>* saved(Buffer) const {
        return reinterpret_cast<resolved<typename Buffer::element, Setting>*>(
            saved_buffers[position<buffers, Buffer>()]);
    }

  private:
    template <class List, class T>
    static constexpr std::size_t position() {
        static_assert(meta::contains<List, T>, "snug: this layer did not declare what it asks for");
        return static_cast<std::size_t>(meta::find<List, T>);
    }
};

// Tables of declarations -------------------------------------------------------------------------------------

/// A parameter of a model: one entry stands for all `copies` of a repeated block.
struct parameter_entry {
    path name{};  ///< "blocks.qkv.weight"
    std::array<index_t, 4> dimensions{};
    int rank = 0;
    index_t count = 0;  ///< elements of one copy
    index_t copies = 1;
    int repeated_at = -1;      ///< where in `name` the block number goes: "blocks.3.qkv.weight"
    index_t stored_bytes = 0;  ///< of one copy, when a quantization scheme stores it
    bool trains = true;        ///< has a gradient and states
    bool derived = false;      ///< follows from the others
    bool of_adapter = false;

    constexpr bool is_matrix() const { return rank >= 2; }
    constexpr bool is_quantized() const { return stored_bytes > 0; }
    constexpr bool is_trained() const { return trains; }
    constexpr bool is_derived() const { return derived; }
    /// Comes with the model, not with an adapter.
    constexpr bool is_of_base() const { return !derived && !of_adapter; }
    constexpr index_t total() const { return count * copies; }
    constexpr index_t trained() const { return trains ? total() : 0; }
};

/// A buffer of a model before its lifetime is known.
struct buffer_entry {
    path name{};
    std::string_view element{};
    index_t element_size = 0;
    index_t count = 0;
    index_t copies = 1;
    role line = role::activation;
};

template <std::size_t N>
struct parameter_table {
    std::array<parameter_entry, N> entries{};
    std::size_t size = 0;

    constexpr void add(parameter_entry entry) { entries[size++] = entry; }
};

template <std::size_t N>
struct buffer_table {
    std::array<buffer_entry, N> entries{};
    std::size_t size = 0;

    template <class T>
    constexpr void add(path name, index_t count, index_t copies, role line) {
        entries[size++] = {name,  element_name<T>,         static_cast<index_t>(sizeof(T)),
                           count, count == 0 ? 1 : copies, line};
    }
};

/// Where in the model a declaration is made.
struct declaration_context {
    path name{};
    index_t copies = 1;       ///< of parameters: the number of blocks
    index_t kept_copies = 1;  ///< of what backward reads: the number of blocks kept at once
    int repeated_at = -1;

    constexpr declaration_context inside(std::string_view part) const {
        auto deeper = *this;
        deeper.name = name / part;
        return deeper;
    }
};

namespace layer {

template <class L, std::size_t N>
constexpr void declare_parameters(parameter_table<N>& table, declaration_context where) {
    where = where.inside(name<L>());
    if constexpr (composite<L>) {
        L::declare_parameters(table, where);
    } else {
        meta::for_each<parameters<L>>([&]<class P>(P) {
            parameter_entry entry{where.name / P::name.view(),
                                  {},
                                  P::shape::rank,
                                  P::shape::count,
                                  where.copies,
                                  where.repeated_at};
            for (std::size_t i = 0; i < P::shape::dimensions.size(); ++i)
                entry.dimensions[i] = P::shape::dimensions[i];
            if constexpr (is_quantized<P>) entry.stored_bytes = P::stored_bytes;
            entry.trains = trains<L, P>;
            entry.derived = is_derived<P>;
            entry.of_adapter = is_of_adapter<L, P>;
            table.add(entry);
        });
    }
}

template <class Node, class Setting, class Checkpointing, std::size_t N>
constexpr void declare_buffers(buffer_table<N>& table, declaration_context where) {
    using L = typename Node::type;
    where = where.inside(name<L>());
    if constexpr (composite<L>) {
        L::template declare_buffers<Node, Setting, Checkpointing>(table, where);
    } else {
        meta::for_each<saved<L>>([&]<class B>(B) {
            table.template add<resolved<typename B::element, Setting>>(where.name / B::name.view(),
                                                                       B::per_token * Setting::rows,
                                                                       where.kept_copies, role::activation);
        });
        table.template add<std::byte>(where.name / "forward", forward_workspace<L, Setting>(), 1,
                                      role::workspace);
        table.template add<std::byte>(where.name / "backward", backward_workspace<L, Setting>(), 1,
                                      role::workspace);
    }
}

// Running: composites pass on, leaves are called ---------------------------------------------------------------

/// y = layer(x), or y = base + layer(x) when `Added`. A `y` without a buffer: nobody needs the output.
template <class Node, bool Added, class Walker>
constexpr void forward(Walker& walker, buffer_reference x, buffer_reference y, buffer_reference base) {
    using L = typename Node::type;
    if constexpr (composite<L>) {
        L::template walk_forward<Node, Added>(walker, x, y, base);
    } else {
        if constexpr (!backward_reads_output<L>)
            if (y.id < 0) {
                if constexpr (meta::size < saved < L >>> 0) walker.template save<Node>(x);
                return;
            }
        walker.template forward<Node, Added>(x, y, base);
    }
}

/// dx = layer'(x)ᵀ dy, or dx = base + layer'(x)ᵀ dy when `Added`; adds to the gradients of the parameters.
template <class Node, bool Added, class Walker>
constexpr void backward(Walker& walker, buffer_reference x, buffer_reference y, buffer_reference dy,
                        buffer_reference dx, buffer_reference base) {
    using L = typename Node::type;
    if constexpr (composite<L>) L::template walk_backward<Node, Added>(walker, x, y, dy, dx, base);
    else walker.template backward<Node, Added>(x, y, dy, dx, base);
}

}  // namespace layer
}  // namespace snug
