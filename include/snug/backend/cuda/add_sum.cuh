// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cuda_runtime.h>

#include <algorithm>
#include <snug/backend/cuda/launch.cuh>
#include <snug/backend/cuda/tag.hpp>
#include <snug/backend/cuda/team.cuh>
#include <snug/ops/add_sum.hpp>

/// No sum depends on the device: how it is cut up follows from its length.
namespace snug::SNUG_TARGET::backend::cuda {

namespace detail {

inline constexpr int partial_threads = 256;
/// Fewer elements are not worth a block.
inline constexpr index_t smallest_partial = 4096;
constexpr index_t partials_of(index_t count) {
    return std::clamp((count + smallest_partial - 1) / smallest_partial, index_t{1}, ops::sum_partials);
}

/// Block b of B sums the b-th of B equal pieces; the sum is written to, or added to, place b.
template <bool Add, class Value>
__global__ void __launch_bounds__(partial_threads)
    partial_sums(index_t count, index_t piece, double* sums, Value value) {
    auto const first = static_cast<index_t>(blockIdx.x) * piece;
    auto const end = first + piece < count ? first + piece : count;
    double total = 0;
#pragma unroll 8
    for (auto i = first + threadIdx.x; i < end; i += partial_threads) total += static_cast<double>(value(i));
    total = combined_in_block<partial_threads>(total, plus{});
    if (threadIdx.x == 0) sums[blockIdx.x] = Add ? sums[blockIdx.x] + total : total;
}

struct element_of {
    double const* values;
    constexpr double operator()(index_t i) const { return values[i]; }
};

}  // namespace detail

template <class Value>
void add_sum_on(tag on, index_t count, double* partials, double* total, Value const& value) {
    if (count <= 0) return;
    auto const blocks = detail::partials_of(count);
    if (blocks == 1) {
        launch(on, detail::partial_sums<true, Value>, 1, detail::partial_threads, 0, count, count, total,
               value);
        return;
    }
    launch(on, detail::partial_sums<false, Value>, static_cast<unsigned>(blocks), detail::partial_threads, 0,
           count, (count + blocks - 1) / blocks, partials, value);
    launch(on, detail::partial_sums<true, detail::element_of>, 1, detail::partial_threads, 0, blocks, blocks,
           total, detail::element_of{partials});
}

}  // namespace snug::SNUG_TARGET::backend::cuda
