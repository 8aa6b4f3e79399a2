// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <snug/quantization/blocked.hpp>
#include <string>

namespace snug::SNUG_TARGET::quantization {

/// 8 bits by the signed dynamic map (arXiv 1511.04561), block-wise: dense near zero over six decades. The element type
/// of 8 evenly spaced bits is `snug::int8`; as a scheme that is `blockwise<absmax, Block>`.
template <index_t Block = 256>
struct int8 : blocked<table_code<codebooks::dynamic_signed>, Block> {
    static std::string name() { return "int8<" + std::to_string(Block) + ">"; }
};

static_assert(int8<256>::storage(256).count == 256 + 4);

}  // namespace snug::SNUG_TARGET::quantization
