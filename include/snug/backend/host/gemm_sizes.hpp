// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>
#include <snug/precision/bf16.hpp>
#include <snug/units.hpp>
#include <type_traits>

/// Block sizes of the host's matrix product and the scratch memory that follows from them. Constants of the program, not
/// of the machine: a plan made without vector instructions is the plan of the program that runs with them.
namespace snug::SNUG_TARGET::backend::host {

namespace detail {

/// How much of C is computed between two packings of B.
struct tile_limits {
    std::int64_t rows;
    std::int64_t columns;
};

/// Lengths along k are in units: what one multiply-add takes from each operand, one element or a pair of bf16.
struct blocking {
    static constexpr std::int64_t chunk_units = 384;
    /// A [block_rows, chunk] stays in the second-level cache.
    static constexpr std::int64_t block_rows = 96;
    /// B is packed once per tile, in the second-level cache.
    static constexpr tile_limits parallel = {1024, 256};
    /// For an A that is packed too, once per row of tiles.
    static constexpr tile_limits parallel_packing = {384, 768};
    /// One block of rows, so that a panel of B is used up as soon as it is packed.
    static constexpr tile_limits serial = {block_rows, 256};
    /// No instruction set has wider panels of B; all widths divide it.
    static constexpr std::int64_t widest_panel = 32;
};

/// Bytes of one unit, and of one sum.
template <class A, class B>
inline constexpr std::int64_t unit_bytes_of = std::is_same_v<A, double> || std::is_same_v<B, double> ? 8 : 4;

/// Elements between two rows of sums. The 16 extra keep rows from sharing one set of a cache.
constexpr std::int64_t sum_row_elements(std::int64_t columns) { return columns + 16; }

/// Units between two packed rows of A.
constexpr std::int64_t left_row_units(std::int64_t units) { return round_up(units, 16) + 16; }

/// Scratch of one tile, in bytes: the packed panels of B, then the sums, then the packed rows of A.
struct tile_layout {
    std::int64_t sums;
    std::int64_t left;
    std::int64_t total;
};

constexpr tile_layout layout_of(tile_limits limits, std::int64_t n, std::int64_t k, std::int64_t unit_bytes) {
    std::int64_t const units = std::min(k, blocking::chunk_units);
    std::int64_t const columns = round_up(std::min(n, limits.columns), blocking::widest_panel);
    std::int64_t const packed_columns = limits.rows > blocking::block_rows ? columns : blocking::widest_panel;
    tile_layout result{};
    result.sums = round_up(units * packed_columns * unit_bytes, 64);
    result.left = result.sums + round_up(limits.rows * sum_row_elements(columns) * unit_bytes, 64);
    result.total = result.left + round_up(blocking::block_rows * left_row_units(units) * unit_bytes, 64);
    return result;
}

}  // namespace detail

/// Bytes of one decoded panel of a quantized operand: one chunk of k, at most two elements (of 16 bits) to a unit.
inline constexpr std::int64_t quantized_tile_bytes =
    detail::blocking::widest_panel * detail::blocking::chunk_units * 4;

/// Bytes of scratch for `gemm_serial` of operands `A` and `B` with n <= max_n and k <= max_k.
template <class A, class B = A>
constexpr std::int64_t gemm_serial_scratch_bytes(std::int64_t max_n, std::int64_t max_k) {
    return detail::layout_of(detail::blocking::serial, max_n, max_k, detail::unit_bytes_of<A, B>).total;
}

/// Bytes of scratch for `gemm` of operands `A` and `B` with n <= max_n and k <= max_k on at most `max_threads` threads.
template <class A, class B = A>
constexpr std::int64_t gemm_scratch_bytes(std::int64_t max_n, std::int64_t max_k, std::int64_t max_threads) {
    constexpr auto unit_bytes = detail::unit_bytes_of<A, B>;
    return max_threads *
           std::max(detail::layout_of(detail::blocking::parallel, max_n, max_k, unit_bytes).total,
                    detail::layout_of(detail::blocking::parallel_packing, max_n, max_k, unit_bytes).total);
}

}  // namespace snug::SNUG_TARGET::backend::host
