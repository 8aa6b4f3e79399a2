// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <snug/target.hpp>
#include <string_view>

/// Codes that are not numbers but places in a table of numbers between -1 and 1, which belongs to
/// quantization and is multiplied by the scale of a block. One code in the low half of a byte; packing is
/// quantization's.
namespace snug::SNUG_TARGET {

/// 4-bit NormalFloat: the table is the quantiles of a normal distribution, in ascending order
/// (Dettmers et al., "QLoRA", arXiv 2305.14314).
struct nf4_code {
    static constexpr std::string_view name = "nf4";
    static constexpr int bits = 4;
    static constexpr int codes = 16;
    std::uint8_t code;
};

/// What bitsandbytes calls FP4: bit 3 is the sign, the others choose of {0, 1/16, 8, 12, 4, 6, 2, 3} / 12,
/// not in order of value. But for the scale of 12 and the 1/16 these are the magnitudes of twice `fp4_e2m1`,
/// which has 1 there.
struct fp4_code {
    static constexpr std::string_view name = "fp4";
    static constexpr int bits = 4;
    static constexpr int codes = 16;
    std::uint8_t code;
};

static_assert(sizeof(nf4_code) == 1 && sizeof(fp4_code) == 1);

}  // namespace snug::SNUG_TARGET
