// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <snug/quantization/blocked.hpp>
#include <string>

namespace snug::SNUG_TARGET::quantization {

/// 4-bit NormalFloat (arXiv 2305.14314): the quantiles of a normal distribution, so that normal weights use all codes
/// alike. Two dialects: `dialects::bitsandbytes` and `dialects::torchao` (four digits; torchao itself always quantizes
/// the scales too, see `double_quantized`).
template <index_t Block = 64, class Dialect = dialects::bitsandbytes>
struct nf4 : blocked<table_code<codebooks::nf4, Dialect>, Block> {
    static_assert(
        std::is_same_v<Dialect, dialects::bitsandbytes>,
        "snug: the second argument of nf4 is dialects::bitsandbytes or dialects::torchao (see Dialect)");
    static std::string name() { return "nf4<" + std::to_string(Block) + ">"; }
};

template <index_t Block>
struct nf4<Block, dialects::torchao>
    : blocked<table_code<codebooks::nf4_four_digits, dialects::torchao>, Block> {
    static std::string name() { return "nf4<" + std::to_string(Block) + ", torchao>"; }
};

static_assert(nf4<64>::storage(128).count == 2 * (32 + 4));
static_assert(bits_per_element<nf4<64>>({4096, 4096}) == 4.5);

}  // namespace snug::SNUG_TARGET::quantization
