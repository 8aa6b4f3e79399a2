// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <concepts>
#include <snug/layers/traits.hpp>
#include <type_traits>

/// What a layer says of the work of its calls: a hook, `work<Setting>()`. Training does not ask for it;
/// `snug::work<T>` adds it up.
namespace snug::SNUG_TARGET {

/// Work, counted. An addition and a multiplication are two operations. Bytes are those that must move: every
/// operand of a pass or a product read once and every result written once, in the element types of the
/// trainer; what a cache keeps in between, or a product reads twice, is not known here. Row passes (norms,
/// activation functions, softmax, rotations) count by their bytes alone.
struct workload {
    index_t products =
        0;  ///< floating-point operations of matrix products with weights, 2 · rows · in · out each
    index_t attention = 0;  ///< those of attention's products, of which the causal half is counted
    index_t bytes = 0;      ///< read and written

    /// All floating-point operations.
    constexpr index_t total() const { return products + attention; }

    friend constexpr bool operator==(workload const&, workload const&) = default;
    friend constexpr workload operator+(workload a, workload b) {
        return {a.products + b.products, a.attention + b.attention, a.bytes + b.bytes};
    }
    friend constexpr workload operator*(workload a, index_t times) {
        return {a.products * times, a.attention * times, a.bytes * times};
    }
    constexpr workload& operator+=(workload other) { return *this = *this + other; }
};

/// The work of one call of each of a layer's functions, for all rows of a micro-batch.
struct layer_work {
    workload forward{};  ///< of a head: the logits and the loss
    workload backward{};
    workload save{};     ///< where the layer `saves_without_output`
    workload refresh{};  ///< where it has derived parameters
    workload change{};   ///< where it `changes_input`: that part of `forward`
};

/// Bytes of one pass, for `work` of a layer.
namespace bytes_of {

/// `width` activations of every row.
template <class Setting>
constexpr index_t rows(index_t width) {
    return Setting::rows * width * static_cast<index_t>(sizeof(typename Setting::activation));
}

/// A saved buffer, of all rows.
template <class Setting, class Buffer>
constexpr index_t buffer(Buffer) {
    return Setting::rows * Buffer::per_token *
           static_cast<index_t>(sizeof(resolved<typename Buffer::element, Setting>));
}

/// The values of a parameter, as they are stored.
template <class Setting, class Parameter>
constexpr index_t values(Parameter) {
    if constexpr (is_quantized<Parameter>) return Parameter::stored_bytes;
    else
        return Parameter::shape::count *
               static_cast<index_t>(
                   sizeof(std::conditional_t<is_derived<Parameter>, typename Setting::statistic,
                                             typename Setting::weight>));
}

/// The gradient of a parameter, read and written; 0 where training does not change it.
template <class Setting, class Parameter>
constexpr index_t gradient(Parameter parameter) {
    return Setting::trains(parameter)
               ? 2 * Parameter::shape::count * static_cast<index_t>(sizeof(typename Setting::gradient))
               : 0;
}

}  // namespace bytes_of

namespace layer {

/// The layer has `work<Setting>()` as it is called.
template <class L, class Setting>
concept says_work = requires {
    { L::template work<setting_of<Setting, L>>() } -> std::same_as<layer_work>;
    typename std::integral_constant<index_t, L::template work<setting_of<Setting, L>>().forward.bytes>;
};

}  // namespace layer
}  // namespace snug::SNUG_TARGET
