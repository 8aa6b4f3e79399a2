// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cuda_runtime.h>

#include <snug/backend/cuda/launch.cuh>
#include <snug/backend/cuda/tag.hpp>
#include <snug/backend/cuda/team.cuh>
#include <snug/ops/for_each_row.hpp>
#include <type_traits>

namespace snug::SNUG_TARGET::backend::cuda {

namespace detail {

/// Rows up to this wide are work for a warp; wider ones, and those of unknown width, for a block.
inline constexpr index_t widest_for_warp = 2048;
inline constexpr int warps_of_rows = 4;

template <index_t Width>
inline constexpr int threads_of_row = Width > 8192 ? 512 : 256;

template <class Body>
__global__ void __launch_bounds__(warps_of_rows* warp_width) row_for_each_warp(index_t rows, Body body) {
    auto const row = opaque(static_cast<index_t>(blockIdx.x) * warps_of_rows + threadIdx.x / warp_width);
    if (row < rows) body(warp_team{}, row);
}

template <int Threads, class Body>
__global__ void __launch_bounds__(Threads) row_for_each_block(Body body) {
    body(block_team<Threads>{}, opaque(blockIdx.x));
}

}  // namespace detail

/// `body(team, row)` is run by all lanes of a warp or all threads of a block.
template <index_t Width, class Body>
void for_each_row_on(tag on, std::integral_constant<index_t, Width>, index_t rows, Body const& body) {
    if (rows <= 0) return;
    if constexpr (Width > 0 && Width <= detail::widest_for_warp) {
        launch(on, detail::row_for_each_warp<Body>, detail::pieces(rows, detail::warps_of_rows),
               detail::warps_of_rows * warp_width, 0, rows, body);
    } else {
        constexpr int threads = detail::threads_of_row<Width>;
        launch(on, detail::row_for_each_block<threads, Body>, static_cast<unsigned>(rows), threads, 0, body);
    }
}

}  // namespace snug::SNUG_TARGET::backend::cuda
