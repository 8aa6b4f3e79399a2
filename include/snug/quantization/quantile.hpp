// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <snug/meta.hpp>
#include <snug/policy.hpp>
#include <snug/quantization/expand.hpp>
#include <snug/quantization/nearest.hpp>
#include <snug/quantization/pieces.hpp>
#include <snug/quantization/scheme.hpp>
#include <snug/units.hpp>
#include <span>
#include <string>

namespace snug::SNUG_TARGET::quantization {

namespace detail {

/// Floats as integers in the order of the numbers, and back.
constexpr std::uint32_t key_of(float x) {
    auto const bits = std::bit_cast<std::uint32_t>(x);
    return bits >> 31 != 0 ? ~bits : bits | 0x80000000u;
}
constexpr float number_of(std::uint32_t key) {
    return std::bit_cast<float>(key >> 31 != 0 ? key & 0x7FFFFFFFu : ~key);
}

/// The numbers that sorting an array would put at `ranks` (ascending), without a sorted copy: eight passes, each of
/// which narrows the interval of keys that holds a rank to a sixteenth.
template <std::size_t N, class Source>
std::array<float, N> select(Source const& source, std::array<index_t, N> const& ranks) {
    struct interval {
        std::uint32_t low;  ///< its keys share the bits above those not yet decided
        index_t below;      ///< numbers before its first
    };
    // Ranks may share an interval; the first `used` are distinct and ascending.
    std::array<interval, N> open{};
    std::array<std::size_t, N> interval_of{};
    std::size_t used = 1;
    for (int undecided = 28; undecided >= 0; undecided -= 4) {
        std::array<std::array<index_t, 16>, N> counts{};
        serial_loop const in_order;
        for_each_piece(source, in_order, [&](index_t, index_t count, float const* x) {
            for (index_t i = 0; i < count; ++i) {
                auto const key = key_of(x[i]);
                auto const after = std::upper_bound(
                    open.begin(), open.begin() + static_cast<std::ptrdiff_t>(used), key,
                    [](std::uint32_t k, interval const& candidate) { return k < candidate.low; });
                if (after == open.begin()) continue;
                auto const which = static_cast<std::size_t>(after - open.begin()) - 1;
                auto const part = std::uint64_t{key - open[which].low} >> undecided;
                if (part < 16) ++counts[which][part];
            }
        });
        std::array<interval, N> narrowed{};
        std::size_t distinct = 0;
        for (std::size_t r = 0; r < N; ++r) {
            auto const& from = open[interval_of[r]];
            auto const& parts = counts[interval_of[r]];
            std::uint32_t part = 0;
            index_t below = from.below;
            while (part < 15 && below + parts[part] <= ranks[r]) below += parts[part++];
            interval const found{from.low + (part << undecided), below};
            if (distinct == 0 || narrowed[distinct - 1].low != found.low) narrowed[distinct++] = found;
            interval_of[r] = distinct - 1;
        }
        open = narrowed;
        used = distinct;
    }
    std::array<float, N> result{};
    for (std::size_t r = 0; r < N; ++r) result[r] = number_of(open[interval_of[r]].low);
    return result;
}

/// The quantile schemes: a table of the array's own quantiles, then from a multiple of 64 on the codes.
template <int Bits>
struct quantile_scheme {
    using axis = snug::axis::quantization;
    static constexpr int code_count = 1 << Bits;
    using table = std::array<float, std::size_t{1} << Bits>;

    struct layout {
        index_t values;
        index_t codes;
        bytes total;
    };
    static constexpr layout layout_of(shape extent) {
        region_layout region;
        layout result{};
        result.values = region.add(extent.count() > 0 ? index_t{sizeof(table)} : 0);
        result.codes = region.add(divide_up(extent.count() * Bits, 8));
        result.total = region.total();
        return result;
    }
    static constexpr bytes storage(shape extent) { return layout_of(extent).total; }
    static constexpr bytes storage(index_t count) { return storage(shape{1, count}); }

    struct view {
        std::uint8_t const* codes;
        float const* values;
    };
    static view view_of(std::byte const* region, shape extent) {
        auto const at = layout_of(extent);
        return {reinterpret_cast<std::uint8_t const*>(region + at.codes),
                reinterpret_cast<float const*>(region + at.values)};
    }

    template <class Loop = serial_loop>
    static void encode(std::span<float const> values, shape extent, std::byte* region,
                       Loop const& loop = {}) {
        encode_from(float_source{values}, extent, region, loop);
    }
    template <class Loop = serial_loop>
    static void encode(std::span<bf16 const> values, shape extent, std::byte* region, Loop const& loop = {}) {
        encode_from(bf16_source{values}, extent, region, loop);
    }

    template <class Source, class Loop>
    static void encode_from(Source const& source, shape extent, std::byte* region, Loop const& loop) {
        require_count(source.size(), extent);
        if (source.size() == 0) return;
        (void)extremes_of_all(source, loop);  // refuses what has no place in the order
        std::array<index_t, std::size_t{1} << Bits> ranks{};
        for (index_t i = 0; i < code_count; ++i)
            ranks[static_cast<std::size_t>(i)] = (source.size() - 1) * i / (code_count - 1);
        auto const values = select(source, ranks);
        auto const at = layout_of(extent);
        std::copy(values.begin(), values.end(), reinterpret_cast<float*>(region + at.values));
        std::array<float, (std::size_t{1} << Bits) - 1> middles{};
        for (std::size_t i = 0; i < middles.size(); ++i) middles[i] = values[i] / 2 + values[i + 1] / 2;
        auto* const codes = reinterpret_cast<std::uint8_t*>(region + at.codes);
        for_each_piece(source, loop, [&](index_t first, index_t count, float const* x) {
            std::uint8_t codes_here[piece];
            if constexpr (Bits == 4) counting(middles).codes_of(x, count, codes_here);
            else count_below(middles, x, count, codes_here);
            pack<Bits>(codes_here, first, count, 0, codes);
        });
    }

    template <class T>
    static void decode(view const& stored, index_t first, index_t count, T* out) {
        if constexpr (Bits == 4) expand4(stored.codes, first, count, stored.values, 1.0f, out);
        else expand8(stored.codes, first, count, stored.values, 1.0f, out);
    }

    static void codes(view const& stored, index_t first, index_t count, std::uint8_t* out) {
        unpack<Bits>(stored.codes, first, count, out);
    }
};

}  // namespace detail

/// 256 codes that are the array's own quantiles, from the lowest number to the highest: every code serves about the same
/// count of numbers, wherever they lie, so the entropy is nearly 8 bits (arXiv 2110.02861, section 2.2). No number gets
/// a code worse than the nearest, but between the last two quantiles of a long tail that can be far. Zero has no code of
/// its own. The table is stored; finding it takes eight passes over the array on one thread.
struct quantile : detail::quantile_scheme<8> {
    static std::string name() { return "quantile"; }
};

/// The same with 16 codes.
struct quantile_4bit : detail::quantile_scheme<4> {
    static std::string name() { return "quantile_4bit"; }
};

static_assert(quantile::storage(1000).count == 1024 + 1000);
static_assert(quantile_4bit::storage(1000).count == 64 + 500);

}  // namespace snug::SNUG_TARGET::quantization
