// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <snug/meta.hpp>
#include <snug/policy.hpp>
#include <snug/quantization/codes.hpp>
#include <snug/quantization/pieces.hpp>
#include <snug/quantization/scheme.hpp>
#include <snug/units.hpp>
#include <span>

namespace snug::SNUG_TARGET::quantization {

/// One scale (and zero point) for a whole array. The schemes of one scale derive from it. The region holds the
/// parameters, then from byte 64 on the codes.
template <block_code Code>
struct whole {
    using axis = snug::axis::quantization;
    using code = Code;
    static constexpr int code_count = 1 << Code::bits;

    struct layout {
        index_t parameters;
        index_t codes;
        bytes total;
    };
    static constexpr layout layout_of(shape extent) {
        detail::region_layout region;
        layout result{};
        result.parameters = region.add(extent.count() > 0 ? index_t{sizeof(block_parameters)} : 0);
        result.codes = region.add(detail::divide_up(extent.count() * Code::bits, 8));
        result.total = region.total();
        return result;
    }
    static constexpr bytes storage(shape extent) { return layout_of(extent).total; }
    static constexpr bytes storage(index_t count) { return storage(shape{1, count}); }

    struct view {
        std::uint8_t const* codes;
        block_parameters const* parameters;
    };
    static view view_of(std::byte const* region, shape extent) {
        auto const at = layout_of(extent);
        return {reinterpret_cast<std::uint8_t const*>(region + at.codes),
                reinterpret_cast<block_parameters const*>(region + at.parameters)};
    }

    template <class Loop = serial_loop>
    static void encode(std::span<float const> values, shape extent, std::byte* region,
                       Loop const& loop = {}) {
        encode_from(detail::float_source{values}, extent, region, loop);
    }
    template <class Loop = serial_loop>
    static void encode(std::span<bf16 const> values, shape extent, std::byte* region, Loop const& loop = {}) {
        encode_from(detail::bf16_source{values}, extent, region, loop);
    }

    template <class Source, class Loop>
    static void encode_from(Source const& source, shape extent, std::byte* region, Loop const& loop) {
        detail::require_count(source.size(), extent);
        auto const at = layout_of(extent);
        if (source.size() == 0) return;
        auto const found = detail::extremes_of_all(source, loop);
        auto const parameters = Code::measure(found, false);
        *reinterpret_cast<block_parameters*>(region + at.parameters) = parameters;
        int const padding = Code::has_zero ? parameters.zero : Code::code_of_zero;
        auto* const codes = reinterpret_cast<std::uint8_t*>(region + at.codes);
        detail::for_each_piece(source, loop, [&](index_t first, index_t count, float const* x) {
            std::uint8_t ranks[detail::piece];
            Code::encode(x, count, parameters, false, ranks);
            detail::pack<Code::bits>(ranks, first, count, padding, codes);
        });
    }

    template <class T>
    static void decode(view const& stored, index_t first, index_t count, T* out) {
        if (count > 0) Code::decode(stored.codes, first, count, *stored.parameters, out);
    }

    static void codes(view const& stored, index_t first, index_t count, std::uint8_t* out) {
        detail::unpack<Code::bits>(stored.codes, first, count, out);
    }
};

static_assert(sizeof(block_parameters) == 8);

}  // namespace snug::SNUG_TARGET::quantization
