// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>
#include <snug/units.hpp>

namespace snug::SNUG_TARGET::backend::cuda {

/// Bytes of workspace that products of plain matrices take from the plan, for the library's split sums. NVIDIA's advice for
/// Hopper; smaller devices use less of it.
inline constexpr std::int64_t library_workspace = std::int64_t{32} << 20;

/// The library wants this alignment; a plan promises a cache line, so what it may use is a little less.
inline constexpr std::int64_t library_workspace_alignment = 256;
inline constexpr std::int64_t library_workspace_usable = library_workspace - library_workspace_alignment;

/// The workspace of one product of plain matrices, whatever they are.
template <class T>
constexpr std::int64_t matmul_workspace_bytes(std::int64_t /*columns*/, std::int64_t /*depth*/) {
    return library_workspace;
}

/// From so many rows on, a quantized operand is decoded into the workspace for the library's product. By an H100's figures an
/// element is decoded in 0.85 ps, 2.5 bytes of traffic; 1000 rows then take the library 2.9 ps, and snug's own kernel, which
/// decodes on the way, 5.3. They are even at some 400 rows, to which the launches add.
inline constexpr std::int64_t rows_worth_decoding = 1024;

/// From so many rows on, the first of several products is the library's, added to what the others have stored; with fewer, all
/// are summed in registers.
inline constexpr std::int64_t rows_worth_adding = 256;

/// Of a decoded operand as many columns at a time as fit in here: the fewer, the more often the device runs empty at the end
/// of a product.
inline constexpr std::int64_t decoded_bytes = std::int64_t{64} << 20;

/// Columns of a slice of a decoded operand of `columns` x `depth` elements of `element` bytes: equal slices, as few as there can
/// be in `room` bytes, cut between the library's tiles.
constexpr std::int64_t decoded_columns(std::int64_t columns, std::int64_t depth, std::int64_t element,
                                       std::int64_t room = decoded_bytes) {
    constexpr std::int64_t tile = 128;
    auto const most = std::max(room / (depth * element) / tile * tile, tile);
    auto const slices = (columns + most - 1) / most;
    return std::min(columns, round_up((columns + slices - 1) / slices, tile));
}

/// The workspace of such a slice.
constexpr std::int64_t decoded_slice_bytes(std::int64_t columns, std::int64_t depth, std::int64_t element,
                                           std::int64_t room = decoded_bytes) {
    return round_up(decoded_columns(columns, depth, element, room) * depth * element, 64);
}

/// The workspace of one product of up to `rows` rows with a quantized operand: snug's own kernels need none, the library's one
/// slice and then its own.
template <class T>
constexpr std::int64_t quantized_matmul_workspace_bytes(std::int64_t rows, std::int64_t columns,
                                                        std::int64_t depth) {
    constexpr auto element = static_cast<std::int64_t>(sizeof(T));
    if (rows < rows_worth_decoding || element > 4) return 0;
    return decoded_slice_bytes(columns, depth, element) + library_workspace;
}

}  // namespace snug::SNUG_TARGET::backend::cuda
