// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <snug/kernels/sinks.hpp>
#include <snug/layers/traits.hpp>
#include <snug/quantization/matrix.hpp>
#include <snug/random.hpp>

/// What a layer works with in one call.
namespace snug::SNUG_TARGET {

namespace refusal {

template <class Layer, class Parameter>
struct a_layer_adds_to_the_gradient_of_what_is_not_trained {
    static_assert(
        layer::trains<Layer, Parameter>,
        "snug: a layer asks for the gradient of a parameter that this trainer does not train (see Layer and "
        "Parameter). In backward, write 'if constexpr (Call::trains(weight{}))' around what adds to it");
};

template <class Layer, bool Reads>
struct a_layer_reads_parameters_that_it_says_backward_does_not_read {
    static_assert(Reads,
                  "snug: the backward of a layer asks for the value of a parameter, and the layer says "
                  "'backward_reads_parameters = false' (see Layer). Leave that out");
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

    backend on{};  ///< where this call's operations run: the first argument of every `ops::`
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
        static_assert(sizeof(refusal::a_layer_reads_parameters_that_it_says_backward_does_not_read < Layer,
                             Pass == pass::forward || layer::backward_reads_parameters < Layer >>) > 0);
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
        static_assert(sizeof(refusal::a_layer_reads_parameters_that_it_says_backward_does_not_read < Layer,
                             Pass == pass::forward || layer::backward_reads_parameters < Layer >>) > 0);
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

}  // namespace snug::SNUG_TARGET
