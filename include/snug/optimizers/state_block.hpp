// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <snug/precision/name.hpp>
#include <snug/quantization/codes.hpp>
#include <string_view>

namespace snug::SNUG_TARGET::optimizers {

/// 256 elements of an optimizer's state by the codes of a map, with fp32 scales.
/// - In 8 bits with one scale: 2.031 bytes per parameter for the two states of Adam instead of 8 (Dettmers et al.,
///   "8-bit Optimizers via Block-wise Quantization", arXiv 2110.02861). Maps are dynamic, signed for a first moment,
///   unsigned for a second.
/// - In 4 bits with a scale for every 128: 1.063 bytes (Li et al., "Memory Efficient Optimizers with 4-bit States",
///   arXiv 2309.01507, without its factors for rows and columns, as torchao does it). A first moment by the dynamic map,
///   a second by a linear one without zero. The first of two codes in a byte is the higher half.
template <quantization::codebook Map>
struct state_block {
    static constexpr bool is_packed = Map::bits == 4;
    static constexpr std::string_view name = is_packed ? "int4<128>" : "int8<256>";
    static constexpr index_t elements = 256;
    static constexpr index_t elements_of_scale = is_packed ? 128 : 256;
    using code = quantization::table_code<Map>;

    std::array<std::uint8_t, elements * Map::bits / 8> codes;
    std::array<float, elements / elements_of_scale> scales;  ///< largest magnitudes

    void decode(float* to) const {
        for (std::size_t s = 0; s < scales.size(); ++s) {
            auto const first = static_cast<index_t>(s) * elements_of_scale;
            code::decode(codes.data(), first, elements_of_scale, quantization::block_parameters{scales[s]},
                         to + first);
        }
    }
    /// The least that a number above 0 is kept as, as a part of the largest; 0: such a number may become 0. A second
    /// moment that became 0 beside a first one that did not would make the next update as large as the first moment
    /// over epsilon.
    static constexpr float least = [] {
        float result = 1;
        for (auto const value : Map::values) {
            if (value < 0) return 0.0f;
            if (value > 0 && value < result) result = value;
        }
        return result;
    }();
    /// The first `count` of `from`; what the last block of a tensor lacks is zero.
    void encode(float* from, index_t count) {
        std::fill(from + count, from + elements, 0.0f);
        std::uint8_t ranks[is_packed ? elements : 1];
        auto* const to = is_packed ? ranks : codes.data();
        for (std::size_t s = 0; s < scales.size(); ++s) {
            auto const first = static_cast<index_t>(s) * elements_of_scale;
            auto* const part = from + first;
            auto const block =
                code::measure(quantization::detail::extremes_of(part, elements_of_scale), false);
            if constexpr (least > 0)
                for (index_t i = 0; i < std::min(count - first, elements_of_scale); ++i)
                    if (part[i] > 0 && part[i] < least * block.scale) part[i] = least * block.scale;
            code::encode(part, elements_of_scale, block, false, to + first);
            scales[s] = block.scale;
        }
        if constexpr (is_packed) quantization::detail::pack<4>(ranks, 0, elements, 0, codes.data());
    }
};

static_assert(sizeof(state_block<quantization::codebooks::dynamic_signed>) == 260);
static_assert(sizeof(state_block<quantization::codebooks::dynamic_signed_4bit>) == 2 * (64 + 4));

/// Elements of a state that one unit of its storage holds: a number, or a block.
template <class Unit>
inline constexpr index_t elements_of_unit = 1;
template <class Map>
inline constexpr index_t elements_of_unit<state_block<Map>> = state_block<Map>::elements;

/// Units that hold so many elements.
template <class Unit>
constexpr index_t units_for(index_t elements) {
    return (elements + elements_of_unit<Unit> - 1) / elements_of_unit<Unit>;
}

/// The elements of a state from `first` on, where a unit begins, as the rule sees them: numbers where they lie, ...
template <class Unit>
struct state_window {
    Unit* values;

    constexpr state_window(Unit* units, index_t first) : values(units + first) {}
    constexpr void store(index_t) {}
};
/// ... or a block decoded, and encoded again by `store`.
template <class Map>
struct state_window<state_block<Map>> {
    state_block<Map>* block;
    float values[state_block<Map>::elements];

    state_window(state_block<Map>* units, index_t first) : block(units + first / state_block<Map>::elements) {
        block->decode(values);
    }
    void store(index_t count) { block->encode(values, count); }
};

/// The window through which a team sees units of a state; one with several lanes may have its own.
template <class Team, class Unit>
struct window_of {
    using type = state_window<Unit>;
};

}  // namespace snug::SNUG_TARGET::optimizers
