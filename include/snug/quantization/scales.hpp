// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <snug/meta.hpp>
#include <snug/quantization/codes.hpp>
#include <snug/quantization/scheme.hpp>

/// How the scales of blocks are stored: one fp32 each, or quantized in turn. `group` blocks are written together, from
/// scratch that a stack holds.
namespace snug::SNUG_TARGET::quantization::scales {

/// One fp32 for each block.
struct plain {
    static constexpr bool needs_mean = false;
    static constexpr index_t group = 64;

    struct view {
        float const* values;

        float operator[](index_t block) const { return values[block]; }
    };
    struct offsets {
        index_t values;
    };

    static constexpr offsets lay_out(detail::region_layout& region, index_t blocks) {
        return {region.add(blocks * index_t{sizeof(float)})};
    }
    static view view_of(std::byte const* region, offsets at) {
        return {reinterpret_cast<float const*>(region + at.values)};
    }
    static void write_mean(std::byte*, offsets, float) {}
    static void write(std::byte* region, offsets at, index_t first, index_t count, float const* scales, bool,
                      float) {
        std::copy_n(scales, count, reinterpret_cast<float*>(region + at.values) + first);
    }
};

/// How the differences from the mean of a group are quantized as bitsandbytes does: by the signed dynamic map, times
/// the largest difference.
struct by_dynamic_map {
    using code = table_code<codebooks::dynamic_signed>;

    static float encode(float* differences, index_t count, bool partial, std::uint8_t* codes) {
        auto const block = code::measure(detail::extremes_of(differences, count), partial);
        code::encode(differences, count, block, partial, codes);
        return block.scale;
    }
    static float decode(std::uint8_t code, float second) {
        return codebooks::dynamic_signed::values[code] * second;
    }
};

/// As torchao does: int8 in even steps; stored is the number of steps to 1, 128 over the largest difference.
struct by_even_steps {
    static float encode(float* differences, index_t count, bool, std::uint8_t* codes) {
        float const largest = detail::extremes_of(differences, count).absmax();
        float const factor = 256.0f / (2.0f * largest);
        for (index_t i = 0; i < count; ++i) {
            // The factor of the smallest differences is infinite.
            float const steps = differences[i] != 0 ? std::rint(differences[i] * factor) : 0.0f;
            codes[i] = static_cast<std::uint8_t>(
                static_cast<std::int8_t>(std::min(std::max(steps, -128.0f), 127.0f)));
        }
        return factor;
    }
    static float decode(std::uint8_t code, float second) {
        return static_cast<float>(static_cast<std::int8_t>(code)) / second;
    }
};

/// One byte for each block: its difference from the mean of all, quantized by `Method` with one fp32 for every `Group`
/// blocks. The mean is the exact one rounded to fp32, where bitsandbytes and torchao add in fp32 in an order that
/// depends on the processor, so their last bit may be another; decoding takes any.
template <class Method, index_t Group>
struct nested {
    static_assert(Group >= 1 && Group <= detail::longest_piece,
                  "snug: double_quantized has 1 to 4096 scales in a group");
    static constexpr bool needs_mean = true;
    static constexpr index_t group = Group;

    struct view {
        std::uint8_t const* codes;
        float const* seconds;
        float const* mean;

        float operator[](index_t block) const {
            return detail::rounded(Method::decode(codes[block], seconds[block / Group])) + *mean;
        }
    };
    struct offsets {
        index_t codes;
        index_t seconds;
        index_t mean;
    };

    static constexpr offsets lay_out(detail::region_layout& region, index_t blocks) {
        auto const codes = region.add(blocks);
        auto const seconds = region.add(detail::divide_up(blocks, Group) * index_t{sizeof(float)});
        return {codes, seconds, region.add(blocks > 0 ? index_t{sizeof(float)} : 0)};
    }
    static view view_of(std::byte const* region, offsets at) {
        return {reinterpret_cast<std::uint8_t const*>(region + at.codes),
                reinterpret_cast<float const*>(region + at.seconds),
                reinterpret_cast<float const*>(region + at.mean)};
    }
    static void write_mean(std::byte* region, offsets at, float mean) {
        *reinterpret_cast<float*>(region + at.mean) = mean;
    }
    /// Blocks [first, first + count), one whole group or the last; `scales` is overwritten.
    static void write(std::byte* region, offsets at, index_t first, index_t count, float* scales,
                      bool partial, float mean) {
        for (index_t i = 0; i < count; ++i) scales[i] -= mean;
        reinterpret_cast<float*>(region + at.seconds)[first / Group] = Method::encode(
            scales, count, partial, reinterpret_cast<std::uint8_t*>(region + at.codes) + first);
    }
};

}  // namespace snug::SNUG_TARGET::quantization::scales
