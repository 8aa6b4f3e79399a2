// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <snug/backend/cuda/attention_arguments.cuh>
#include <snug/backend/cuda/attention_plain.cuh>
#include <snug/backend/cuda/attention_sizes.hpp>
#include <snug/backend/cuda/attention_tiled.cuh>
#include <snug/backend/cuda/launch.cuh>
#include <snug/backend/cuda/tag.hpp>

/// Body of causal attention: nothing as large as tokens × tokens is ever stored (Dao, "FlashAttention-2",
/// arXiv 2307.08691), and no sum depends on the order in which blocks run.
namespace snug::SNUG_TARGET::backend::cuda {

namespace attending {

/// The kernels of a Shape and T, and their tilings.
template <class Shape, class T>
struct kernels {
    using forward_tiling = plain::tiling<Shape, T>;
    using key_tiling = forward_tiling;
    using query_tiling = forward_tiling;

    template <class S>
    static constexpr auto forward = plain::forward_kernel<Shape, T, S>;
    template <class S>
    static constexpr auto key_gradients = plain::key_gradients_kernel<Shape, T, S>;
    template <class S>
    static constexpr auto query_gradients = plain::query_gradients_kernel<Shape, T, S>;
};

template <class Shape, class T>
    requires attends_on_tensor_cores<Shape, T>
struct kernels<Shape, T> {
    using forward_tiling = tiled::forward_tiling<Shape>;
    using key_tiling = tiled::key_tiling<Shape>;
    using query_tiling = tiled::query_tiling<Shape>;

    template <class S>
    static constexpr auto forward = tiled::forward_kernel<Shape, T, S>;
    template <class S>
    static constexpr auto key_gradients = tiled::key_gradients_kernel<Shape, T, S>;
    template <class S>
    static constexpr auto query_gradients = tiled::query_gradients_kernel<Shape, T, S>;
};

constexpr unsigned blocks_for(index_t count, index_t of_a_block) {
    return static_cast<unsigned>((count + of_a_block - 1) / of_a_block);
}

/// A kernel with a block for each tile of rows of each head.
template <class Tiling, class Shape, class T, class Arguments>
void launch_tiles(tag on, void (*kernel)(Arguments, score_scales<Shape, attention_sum<T>>), index_t heads,
                  Arguments const& arguments) {
    auto const tiles = blocks_for(arguments.tokens, Tiling::rows);
    launch(on, kernel, static_cast<unsigned>(arguments.sequences * heads) * tiles, Tiling::threads,
           Tiling::shared_bytes, arguments, score_scales<Shape, attention_sum<T>>{});
}

}  // namespace attending

template <class Shape, class T, class S>
void attention_forward_on(tag on, Shape, index_t sequences, index_t tokens, index_t past, T const* qkv,
                          std::int32_t const* starts, T* out, S* logsumexp, std::byte* /*workspace*/) {
    using kernels = attending::kernels<Shape, T>;
    if (sequences * tokens == 0) return;
    attending::forward_arguments<T, S> const arguments{
        static_cast<int>(sequences), static_cast<int>(tokens), past, qkv, starts, out, logsumexp};
    attending::launch_tiles<typename kernels::forward_tiling, Shape, T>(on, kernels::template forward<S>,
                                                                        Shape::heads, arguments);
}

template <class Shape, class T, class S>
void attention_backward_on(tag on, Shape, index_t sequences, index_t tokens, T const* qkv,
                           std::int32_t const* starts, T const* out, T const* d_out, S const* logsumexp,
                           T* d_qkv, std::byte* workspace) {
    using kernels = attending::kernels<Shape, T>;
    using sum = attention_sum<T>;
    if (sequences * tokens == 0) return;
    attention_backward_sizes<Shape, T> const sizes{sequences, tokens};
    auto* const row_sums = workspace + sizes.statistics_bytes();
    attending::backward_arguments<T, S> const arguments{
        static_cast<int>(sequences),
        static_cast<int>(tokens),
        static_cast<int>(sizes.padded_tokens()),
        qkv,
        starts,
        out,
        d_out,
        logsumexp,
        d_qkv,
        reinterpret_cast<sum*>(workspace),
        reinterpret_cast<sum*>(row_sums),
        reinterpret_cast<T*>(row_sums + sizes.statistics_bytes())};

    using attending::blocks_for;
    constexpr auto small = attending::small_kernel_threads;
    launch(on, attending::row_statistics_kernel<Shape, T, S>,
           blocks_for(sizes.statistics(), small / attending::lanes_per_row), small, 0, arguments);
    // Q, K and V are read until the queries' gradients are there, and these are written over Q as the last
    // that reads it: only then may dK and dV go where K and V lie.
    attending::launch_tiles<typename kernels::key_tiling, Shape, T>(on, kernels::template key_gradients<S>,
                                                                    Shape::kv_heads, arguments);
    attending::launch_tiles<typename kernels::query_tiling, Shape, T>(
        on, kernels::template query_gradients<S>, Shape::heads, arguments);
    constexpr index_t groups =
        2 * Shape::kv_heads * Shape::head_width / attending::elements_at_once<T, Shape::head_width>;
    launch(on, attending::copy_key_gradients_kernel<Shape, T, S>,
           blocks_for(sequences * tokens * groups, small), small, 0, arguments);
}

}  // namespace snug::SNUG_TARGET::backend::cuda
