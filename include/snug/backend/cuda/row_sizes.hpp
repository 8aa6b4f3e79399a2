// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <snug/meta.hpp>
#include <snug/units.hpp>
#include <type_traits>

/// How sums over columns are cut up: it follows from rows and columns only, so that no sum depends on the device.
namespace snug::SNUG_TARGET::backend::cuda {

/// Sums are computed in this type; every piece of the work has one of them for each of its columns.
template <class T>
using column_sum_type = std::conditional_t<std::is_same_v<T, double>, double, float>;

/// Blocks that keep a large device busy: four for each of the 132 multiprocessors of an H100.
inline constexpr index_t blocks_of_sums = 528;

/// `add_column_sums`: columns of one block, and the rows that it should at least have.
inline constexpr index_t columns_of_block = 256;
inline constexpr index_t rows_of_block = 32;

/// Pieces that the rows are cut into.
constexpr index_t column_sums_pieces(index_t rows, index_t columns) {
    auto const across = std::max((columns + columns_of_block - 1) / columns_of_block, index_t{1});
    return std::clamp((rows + rows_of_block - 1) / rows_of_block, index_t{1},
                      (blocks_of_sums + across - 1) / across);
}

template <class T>
constexpr index_t column_sums_bytes(index_t rows, index_t columns) {
    return round_up(
        column_sums_pieces(rows, columns) * columns * static_cast<index_t>(sizeof(column_sum_type<T>)), 64);
}

/// `for_each_row_with_column_sums`: wider rows are gone through once for every sum, and once more for the rows.
inline constexpr index_t widest_with_sums = 8192;
inline constexpr index_t rows_of_block_with_sums = 4;

constexpr index_t rows_with_sums_pieces(index_t rows) {
    return std::clamp((rows + rows_of_block_with_sums - 1) / rows_of_block_with_sums, index_t{1},
                      blocks_of_sums);
}

template <class T>
constexpr index_t rows_with_sums_bytes(index_t rows, index_t width, index_t sums) {
    if (width > widest_with_sums) return sums > 0 ? column_sums_bytes<T>(rows, width) : 0;
    return round_up(
        sums * rows_with_sums_pieces(rows) * width * static_cast<index_t>(sizeof(column_sum_type<T>)), 64);
}

}  // namespace snug::SNUG_TARGET::backend::cuda
