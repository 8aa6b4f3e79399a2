// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <snug/models/rewrite.hpp>
#include <snug/models/stack.hpp>
#include <snug/precision/bf16.hpp>
#include <snug/precision/number_format.hpp>
#include <snug/quantization/scheme.hpp>

namespace snug::SNUG_TARGET {

namespace refusal {

template <class Given>
struct this_is_not_a_format_of_weights {
    static constexpr bool holds = number_format<Given> || quantization::quantization_scheme<Given>;
    static_assert(holds,
                  "snug: weights rest in a number format, such as snug::bf16, or in a quantization scheme, "
                  "such as snug::quantization::nf4<64> (see Given)");
};

}  // namespace refusal

namespace detail {

template <class Model, class Format>
constexpr bytes weight_bytes_of() {
    using accepted =
        accepted<refusal::this_is_not_a_model<Model>, refusal::this_is_not_a_format_of_weights<Format>>;
    if constexpr (!accepted::value) {
        return {};
    } else if constexpr (quantization::quantization_scheme<Format>) {
        bytes total{};
        for (auto const& entry : quantized_model<Model, Format>::type::declare_parameters().entries)
            total +=
                {entry.copies * (entry.is_quantized() ? entry.stored_bytes
                                                      : entry.count * static_cast<index_t>(sizeof(bf16)))};
        return total;
    } else {
        return {parameter_count<Model> * static_cast<index_t>(sizeof(Format))};
    }
}

}  // namespace detail

/// Bytes of a model's weights at rest, a constant. In a number format: the parameters times its size, which is a byte at
/// least. In a quantization scheme: its linear layers by the scheme, each matrix on a multiple of 64 bytes, the rest
/// (embedding, head, norms, biases) in bf16. That is what a trainer with that scheme in `mixed<bf16>` stores,
/// `footprint<...>.weights`.
///
///     weight_bytes<models::llama2_7b, quantization::double_quantized<quantization::nf4<64>>>
template <class Model, class Format>
inline constexpr bytes weight_bytes = detail::weight_bytes_of<Model, Format>();

}  // namespace snug::SNUG_TARGET
