// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <snug/quantization/scheme.hpp>

namespace snug::SNUG_TARGET {

/// A matrix that a quantization scheme stores, shape (Rows, Width), as an operand of products: backends decode it by
/// tiles or slices. A view.
template <quantization::quantization_scheme Scheme, index_t Rows, index_t Width>
struct quantized_matrix {
    static constexpr index_t rows = Rows;
    static constexpr index_t width = Width;
    typename Scheme::view stored;
};

}  // namespace snug::SNUG_TARGET
