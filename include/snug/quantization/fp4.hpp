// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <snug/quantization/blocked.hpp>
#include <string>

namespace snug::SNUG_TARGET::quantization {

/// What bitsandbytes calls FP4: sign, 2 exponent bits, 1 mantissa bit, and one odd small number (see
/// `snug::fp4_code`).
template <index_t Block = 64>
struct fp4 : blocked<table_code<codebooks::fp4>, Block> {
    static std::string name() { return "fp4<" + std::to_string(Block) + ">"; }
};

static_assert(fp4<64>::storage(128).count == 2 * (32 + 4));

}  // namespace snug::SNUG_TARGET::quantization
