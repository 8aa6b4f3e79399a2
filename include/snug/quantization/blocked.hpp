// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <snug/meta.hpp>
#include <snug/policy.hpp>
#include <snug/quantization/codes.hpp>
#include <snug/quantization/scales.hpp>
#include <snug/quantization/scheme.hpp>
#include <snug/units.hpp>
#include <span>

namespace snug::SNUG_TARGET::quantization {

/// Blocks of `Block` elements, each with its own scale (and zero point, where the code has one). The block-wise schemes
/// derive from it. The region holds, each from a multiple of 64 on: codes, scales, zero points.
template <block_code Code, index_t Block, class Scales = scales::plain>
struct blocked {
    static_assert(Block >= 2 && Block % 2 == 0 && Block <= detail::longest_piece,
                  "snug: a block has an even number of elements, at most 4096");

    using axis = snug::axis::quantization;
    using code = Code;
    using scale_storage = Scales;
    static constexpr index_t block = Block;
    static constexpr int code_count = 1 << Code::bits;

    struct layout {
        index_t codes;
        typename Scales::offsets scales;
        index_t zeros;
        bytes total;
    };
    static constexpr layout layout_of(shape extent) {
        index_t const blocks = detail::divide_up(extent.count(), Block);
        detail::region_layout region;
        layout result{};
        result.codes = region.add(detail::divide_up(extent.count() * Code::bits, 8));
        result.scales = Scales::lay_out(region, blocks);
        result.zeros = region.add(Code::has_zero ? blocks : 0);
        result.total = region.total();
        return result;
    }
    static constexpr bytes storage(shape extent) { return layout_of(extent).total; }
    static constexpr bytes storage(index_t count) { return storage(shape{1, count}); }

    struct view {
        std::uint8_t const* codes;
        typename Scales::view scales;
        std::uint8_t const* zeros;

        block_parameters parameters(index_t b) const {
            if constexpr (Code::has_zero) return {scales[b], zeros[b]};
            else return {scales[b]};
        }
    };
    static view view_of(std::byte const* region, shape extent) {
        auto const at = layout_of(extent);
        return {reinterpret_cast<std::uint8_t const*>(region + at.codes), Scales::view_of(region, at.scales),
                reinterpret_cast<std::uint8_t const*>(region + at.zeros)};
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
        index_t const blocks = detail::divide_up(source.size(), Block);
        detail::finite_guard guard;
        float mean = 0;
        if constexpr (Scales::needs_mean) {
            mean = mean_scale(source, blocks, guard, loop);
            guard.refuse(source);
            if (blocks > 0) Scales::write_mean(region, at.scales, mean);
        }
        loop(detail::divide_up(blocks, Scales::group), [&](index_t group) {
            index_t const first = group * Scales::group;
            index_t const count = std::min(Scales::group, blocks - first);
            float scales[Scales::group];
            for (index_t b = 0; b < count; b += batch)
                encode_blocks(source, first + b, std::min(batch, count - b), at, region, guard, scales + b);
            Scales::write(region, at.scales, first, count, scales, count < Scales::group, mean);
        });
        guard.refuse(source);
    }

    template <class T>
    static void decode(view const& stored, index_t first, index_t count, T* out) {
        while (count > 0) {
            index_t const which = first / Block;
            index_t const here = std::min(count, (which + 1) * Block - first);
            Code::decode(stored.codes, first, here, stored.parameters(which), out);
            first += here;
            count -= here;
            out += here;
        }
    }

    static void codes(view const& stored, index_t first, index_t count, std::uint8_t* out) {
        detail::unpack<Code::bits>(stored.codes, first, count, out);
    }

  private:
    static detail::extremes extremes_of(float const* x, index_t count) {
        return Code::has_zero ? detail::extremes_of(x, count) : detail::largest_magnitude_of(x, count);
    }

    /// Blocks of about 2048 elements together: first all are measured, then all become codes. One after the other, the
    /// steps of a block would wait for each other.
    static constexpr index_t batch = std::max(index_t{1}, 2048 / Block);

    template <class Source>
    static void encode_blocks(Source const& source, index_t first, index_t blocks, layout const& at,
                              std::byte* region, detail::finite_guard& guard, float* scales) {
        float buffer[batch * Block];
        index_t const begin = first * Block;
        index_t const count = std::min(blocks * Block, source.size() - begin);
        auto const* const x = source.read(begin, count, buffer);
        auto const length = [&](index_t b) { return std::min(Block, count - b * Block); };
        block_parameters found[batch];
        bool finite = true;
        for (index_t b = 0; b < blocks; ++b) {
            auto const extremes = extremes_of(x + b * Block, length(b));
            if (!extremes.finite()) {
                guard.check(x + b * Block, length(b), begin + b * Block);
                finite = false;
                scales[b] = 0;
                continue;
            }
            found[b] = Code::measure(extremes, length(b) < Block);
            scales[b] = found[b].scale;
        }
        if (!finite) return;
        std::uint8_t ranks[batch * Block] = {};
        for (index_t b = 0; b < blocks; ++b)
            Code::encode(x + b * Block, length(b), found[b], length(b) < Block, ranks + b * Block);
        int const padding = Code::has_zero ? found[blocks - 1].zero : Code::code_of_zero;
        detail::pack<Code::bits>(ranks, begin, count, padding,
                                 reinterpret_cast<std::uint8_t*>(region + at.codes));
        if constexpr (Code::has_zero)
            for (index_t b = 0; b < blocks; ++b)
                reinterpret_cast<std::uint8_t*>(region + at.zeros)[first + b] = found[b].zero;
    }

    template <class Source, class Loop>
    static float mean_scale(Source const& source, index_t blocks, detail::finite_guard& guard,
                            Loop const& loop) {
        if (blocks == 0) return 0;
        std::array<double, detail::slices> sums{};
        loop(detail::slices, [&](index_t slice) {
            auto const [first, last] = detail::slice_of(blocks, slice);
            double sum = 0;
            for (index_t b = first; b < last; ++b) {
                float buffer[Block] = {};
                index_t const count = std::min(Block, source.size() - b * Block);
                auto const* const x = source.read(b * Block, count, buffer);
                auto const found = extremes_of(x, count);
                if (found.finite()) sum += double{Code::measure(found, count < Block).scale};
                else guard.check(x, count, b * Block);
            }
            sums[static_cast<std::size_t>(slice)] = sum;
        });
        double total = 0;
        for (double const sum : sums) total += sum;
        return static_cast<float>(total / static_cast<double>(blocks));
    }
};

}  // namespace snug::SNUG_TARGET::quantization
