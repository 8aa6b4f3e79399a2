// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cuda_runtime.h>

#include <cstdint>
#include <snug/backend/cuda/decode.cuh>
#include <snug/backend/cuda/team.cuh>
#include <snug/optimizers/state_block.hpp>

/// Optimizer states in blocks of codes, on the device: a warp has a block in its registers, each lane its share. The
/// bits are those of the host.
namespace snug::SNUG_TARGET::backend::cuda {

namespace detail {

/// The bounds between the numbers of a codebook where kernels can read them, and its codes in order of value.
template <class Codebook>
__device__ constexpr auto device_midpoints = quantization::detail::midpoints<Codebook>;
template <class Codebook>
__device__ constexpr auto device_order = quantization::detail::order<Codebook>;

/// The code of the number that is nearest to y: as many midpoints lie below it as codes before its own.
template <class Codebook>
__device__ __forceinline__ std::uint8_t nearest_code(float y) {
    int rank = 0;
#pragma unroll
    for (int step = 1 << (Codebook::bits - 1); step > 0; step /= 2)
        if (device_midpoints<Codebook>[rank + step - 1] < y) rank += step;
    return device_order<Codebook>[rank];
}

}  // namespace detail

/// The elements of a state from `first` on, as the rule sees them: those of a lane.
template <class Map>
struct lane_window {
    using block_type = optimizers::state_block<Map>;
    static constexpr int share = static_cast<int>(block_type::elements) / warp_width;
    static_assert(share == detail::group_size);
    static constexpr int lanes_of_scale = static_cast<int>(block_type::elements_of_scale) / share;

    struct share_of_lane {
        float own[share];
        __device__ __forceinline__ constexpr float& operator[](index_t i) { return own[i % share]; }
    };

    block_type* block;
    share_of_lane values;

    __device__ __forceinline__ constexpr lane_window(block_type* units, index_t first)
        : block(units + first / block_type::elements) {
        auto const* const codes = block->codes.data() + first_code();
        auto const scale = block->scales[static_cast<std::size_t>(warp_team::lane() / lanes_of_scale)];
#pragma unroll
        for (int k = 0; k < share; ++k) {
            int const code = block_type::is_packed ? codes[k / 2] >> (k % 2 == 0 ? 4 : 0) & 0xF : codes[k];
            values.own[k] = rounded_product(device_values<Map>[code], scale);
        }
    }
    /// Elements from `count` on are beyond the tensor's end: zero.
    __device__ __forceinline__ constexpr void store(index_t count) {
        auto const first = static_cast<index_t>(warp_team::lane() * share);
        float largest = 0;
#pragma unroll
        for (int k = 0; k < share; ++k) {
            if (first + k >= count) values.own[k] = 0;
            auto const magnitude = fabsf(values.own[k]);
            largest = magnitude > largest ? magnitude : largest;
        }
        largest = detail::combined_in_warp<lanes_of_scale>(largest, detail::larger{});
        using dialect = typename block_type::code::dialect;
        float const divisor = largest > dialect::least_scale ? largest : dialect::least_scale;
        float const reciprocal = 1.0f / divisor;
        auto* const codes = block->codes.data() + first_code();
#pragma unroll
        for (int k = 0; k < share; ++k) {
            auto y = rounded_product(values.own[k], reciprocal);
            if constexpr (block_type::least > 0)
                if (values.own[k] > 0 && y < block_type::least) y = block_type::least;
            auto const code = detail::nearest_code<Map>(y < -1.0f ? -1.0f : y > 1.0f ? 1.0f : y);
            if constexpr (!block_type::is_packed) codes[k] = code;
            else if (k % 2 == 0) codes[k / 2] = static_cast<std::uint8_t>(code << 4);
            else codes[k / 2] = static_cast<std::uint8_t>(codes[k / 2] | code);
        }
        if (warp_team::lane() % lanes_of_scale == 0)
            block->scales[static_cast<std::size_t>(warp_team::lane() / lanes_of_scale)] = largest;
    }

  private:
    /// Of the lane, in bytes.
    __device__ __forceinline__ static constexpr index_t first_code() {
        return static_cast<index_t>(warp_team::lane()) * share * Map::bits / 8;
    }
};

}  // namespace snug::SNUG_TARGET::backend::cuda

namespace snug::SNUG_TARGET::optimizers {

/// What a lane sees of a block.
template <class Map>
struct window_of<backend::cuda::warp_team, state_block<Map>> {
    using type = backend::cuda::lane_window<Map>;
};

}  // namespace snug::SNUG_TARGET::optimizers
