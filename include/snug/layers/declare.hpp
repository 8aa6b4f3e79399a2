// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <concepts>
#include <snug/memory/declaration.hpp>
#include <snug/quantization/none.hpp>
#include <snug/quantization/scheme.hpp>
#include <snug/units.hpp>

/// What a layer declares: parameters, buffers, names.
namespace snug::SNUG_TARGET {

template <index_t... Dimensions>
struct shape {
    static_assert(((Dimensions >= 0) && ... && true), "snug: a dimension of a parameter is negative");
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
    static_assert(PerToken >= 0, "snug: a layer saves a negative number of elements for each token");
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

}  // namespace snug::SNUG_TARGET
