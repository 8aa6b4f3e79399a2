// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <snug/backend/host/gemm.hpp>
#include <snug/backend/host/parallel.hpp>
#include <snug/backend/host/tag.hpp>
#include <snug/backend/host/team.hpp>
#include <snug/kernels/math.hpp>

/// Body of causal attention. A task owns the scores of `query_tile` queries of one head against the keys up to their
/// position: linear in the number of tokens. Scores are computed twice, forward and backward, instead of kept
/// (Dao et al., "FlashAttention", arXiv 2205.14135).
namespace snug::SNUG_TARGET::backend::host {

namespace detail {

/// The first key that the query of a row sees, which stands at `position` of its sequence: that of its example, or of
/// its window.
template <class Shape>
index_t first_key(std::int32_t const* starts, index_t row, index_t position) {
    index_t const first = starts != nullptr ? starts[row] : 0;
    if constexpr (Shape::window > 0) return std::max(first, position - Shape::window + 1);
    else return first;
}

}  // namespace detail

template <int Threads, class Shape, class T, class S>
void attention_forward_on(tag<Threads>, Shape, index_t sequences, index_t tokens, index_t past, T const* qkv,
                          std::int32_t const* starts, T* out, S* logsumexp, std::byte* workspace) {
    using sum = accumulator_of<T>;
    constexpr index_t tile = tag<Threads>::query_tile;
    constexpr index_t width = Shape::head_width;
    auto const sizes = typename tag<Threads>::template attention_sizes<T>{past + tokens, width};
    auto const scale = static_cast<sum>(1 / std::sqrt(static_cast<double>(Shape::scalar)));
    auto const tiles = (tokens + tile - 1) / tile;
    parallel_for(Threads, sequences * Shape::heads * tiles, [&](index_t task, int slot) {
        // Later tiles see more keys: start with them, so that threads finish together.
        auto const first = (tiles - 1 - task / (sequences * Shape::heads)) * tile;
        auto const head = task % Shape::heads;
        auto const sequence = task / Shape::heads % sequences;
        auto const rows = std::min(tile, tokens - first);
        // Examples follow each other, and windows move on: no query of the tile sees a key before the first query's
        // first.
        auto const begin = detail::first_key<Shape>(starts, sequence * tokens + first, past + first);
        auto const keys = past + first + rows - begin;

        auto* memory = workspace + slot * sizes.forward();
        auto* const scores = reinterpret_cast<sum*>(memory);
        auto* const probabilities = reinterpret_cast<T*>(memory += sizes.scores());
        auto* const inverse_sums = reinterpret_cast<sum*>(memory += sizes.probabilities());
        auto* const products = memory + sizes.row_sums();

        T const* const start = qkv + sequence * tokens * Shape::qkv_width;
        T const* const q = start + first * Shape::qkv_width + head * width;
        auto const kv_head = head / Shape::queries_per_key;
        T const* const first_row = start + (begin - past) * Shape::qkv_width;
        T const* const k = first_row + Shape::key_offset + kv_head * width;
        T const* const v = first_row + Shape::value_offset + kv_head * width;

        gemm_serial(rows, keys, width, operand<T>{q, Shape::qkv_width, 1}, operand<T>{k, 1, Shape::qkv_width},
                    products, [=](index_t i, index_t j, index_t n, sum const* s) {
#pragma omp simd
                        for (index_t c = 0; c < n; ++c) scores[i * keys + j + c] = s[c] * scale;
                    });
        serial_team const team;
        for (index_t i = 0; i < rows; ++i) {
            auto const low =
                detail::first_key<Shape>(starts, sequence * tokens + first + i, past + first + i) - begin;
            sum* const row = scores + i * keys + low;
            T* const p = probabilities + i * keys;
            T* const p_row = p + low;
            index_t const limit = past + first + i + 1 - begin;
            sum const largest = team.template largest<sum>(limit - low, [=](index_t j) { return row[j]; });
            sum const total = team.template sum<sum>(limit - low, [=](index_t j) {
                sum const e = kernels::exponential(row[j] - largest);
                put(p_row[j], e);
                return e;
            });
            for (index_t j = 0; j < low; ++j) put(p[j], sum(0));
            for (index_t j = limit; j < keys; ++j) put(p[j], sum(0));
            inverse_sums[i] = sum(1) / total;
            logsumexp[(sequence * tokens + first + i) * Shape::heads + head] =
                static_cast<S>(largest + std::log(total));
        }
        T* const o = out + (sequence * tokens + first) * Shape::output_width + head * width;
        gemm_serial(rows, width, keys, operand<T>{probabilities, keys, 1}, operand<T>{v, Shape::qkv_width, 1},
                    products, [=](index_t i, index_t j, index_t n, sum const* s) {
#pragma omp simd
                        for (index_t c = 0; c < n; ++c)
                            put(o[i * Shape::output_width + j + c], s[c] * inverse_sums[i]);
                    });
    });
}

template <int Threads, class Shape, class T, class S>
void attention_backward_on(tag<Threads>, Shape, index_t sequences, index_t tokens, T const* qkv,
                           std::int32_t const* starts, T const* out, T const* d_out, S const* logsumexp,
                           T* d_qkv, std::byte* workspace) {
    using sum = accumulator_of<T>;
    constexpr index_t tile = tag<Threads>::query_tile;
    constexpr index_t width = Shape::head_width;
    constexpr index_t stride = Shape::qkv_width;
    constexpr index_t out_stride = Shape::output_width;
    auto const sizes = typename tag<Threads>::template attention_sizes<T>{tokens, width};
    auto const scale = static_cast<sum>(1 / std::sqrt(static_cast<double>(Shape::scalar)));
    // A task owns the gradients of one key-value head: no two tasks add to the same memory.
    parallel_for(Threads, sequences * Shape::kv_heads, [&](index_t task, int slot) {
        auto const kv_head = task % Shape::kv_heads;
        auto const sequence = task / Shape::kv_heads;

        auto* memory = workspace + slot * sizes.backward();
        auto* const d_k = reinterpret_cast<sum*>(memory);
        auto* const d_v = reinterpret_cast<sum*>(memory += sizes.key_gradients());
        auto* const scores = reinterpret_cast<sum*>(memory += sizes.key_gradients());
        auto* const p = reinterpret_cast<T*>(memory += sizes.scores());
        auto* const d_s = reinterpret_cast<T*>(memory += sizes.probabilities());
        auto* const row_sums = reinterpret_cast<sum*>(memory += sizes.probabilities());
        auto* const products = memory + sizes.row_sums();
        std::fill_n(d_k, tokens * width, sum(0));
        std::fill_n(d_v, tokens * width, sum(0));

        auto const row0 = sequence * tokens;
        auto const k_at = row0 * stride + Shape::key_offset + kv_head * width;
        auto const v_at = row0 * stride + Shape::value_offset + kv_head * width;
        serial_team const team;
        for (index_t g = 0; g < Shape::queries_per_key; ++g) {
            auto const head = kv_head * Shape::queries_per_key + g;
            for (index_t first = 0; first < tokens; first += tile) {
                auto const rows = std::min(tile, tokens - first);
                auto const begin = detail::first_key<Shape>(starts, row0 + first, first);
                auto const keys = first + rows - begin;
                auto const k_begin = k_at + begin * stride;
                auto const q_at = (row0 + first) * stride + head * width;
                T const* const o = out + (row0 + first) * out_stride + head * width;
                T const* const d_o = d_out + (row0 + first) * out_stride + head * width;
                S const* const lse = logsumexp + (row0 + first) * Shape::heads + head;
                for (index_t i = 0; i < rows; ++i)
                    row_sums[i] = team.template sum<sum>(width, [=](index_t c) {
                        return static_cast<sum>(o[i * out_stride + c]) *
                               static_cast<sum>(d_o[i * out_stride + c]);
                    });

                // Probabilities again, from the logsumexp that forward saved.
                gemm_serial(rows, keys, width, operand<T>{qkv + q_at, stride, 1},
                            operand<T>{qkv + k_begin, 1, stride}, products,
                            [=](index_t i, index_t j, index_t n, sum const* s) {
                                auto const offset = static_cast<sum>(lse[i * Shape::heads]);
                                index_t const limit = std::min(n, first - begin + i + 1 - j);
                                index_t const low = std::clamp(
                                    detail::first_key<Shape>(starts, row0 + first + i, first + i) - begin - j,
                                    index_t{0}, n);
                                sum* const row = scores + i * keys + j;
                                T* const p_row = p + i * keys + j;
#pragma omp simd
                                for (index_t c = low; c < limit; ++c)
                                    row[c] = kernels::exponential(s[c] * scale - offset);
#pragma omp simd
                                for (index_t c = low; c < limit; ++c) put(p_row[c], row[c]);
                                for (index_t c = 0; c < low; ++c) row[c] = sum(0), p_row[c] = T(sum(0));
                                for (index_t c = std::max(limit, index_t{0}); c < n; ++c)
                                    row[c] = sum(0), p_row[c] = T(sum(0));
                            });
                // dS = P ∘ (dO Vᵀ - rowsum(dO ∘ O)) · scale
                gemm_serial(rows, keys, width, operand<T>{d_o, out_stride, 1},
                            operand<T>{qkv + v_at + begin * stride, 1, stride}, products,
                            [=](index_t i, index_t j, index_t n, sum const* s) {
                                sum const* const row = scores + i * keys + j;
                                T* const d_row = d_s + i * keys + j;
                                sum const row_sum = row_sums[i];
#pragma omp simd
                                for (index_t c = 0; c < n; ++c)
                                    put(d_row[c], row[c] * (s[c] - row_sum) * scale);
                            });
                auto const add_to = [=](sum* gradient) {
                    return [=](index_t i, index_t j, index_t n, sum const* s) {
#pragma omp simd
                        for (index_t c = 0; c < n; ++c) gradient[i * width + j + c] += s[c];
                    };
                };
                gemm_serial(keys, width, rows, operand<T>{p, 1, keys}, operand<T>{d_o, out_stride, 1},
                            products, add_to(d_v + begin * width));
                gemm_serial(keys, width, rows, operand<T>{d_s, 1, keys}, operand<T>{qkv + q_at, stride, 1},
                            products, add_to(d_k + begin * width));
                // These queries have been read for the last time: dQ may lie where Q lies.
                T* const d_q = d_qkv + q_at;
                gemm_serial(rows, width, keys, operand<T>{d_s, keys, 1}, operand<T>{qkv + k_begin, stride, 1},
                            products, [=](index_t i, index_t j, index_t n, sum const* s) {
#pragma omp simd
                                for (index_t c = 0; c < n; ++c) put(d_q[i * stride + j + c], s[c]);
                            });
            }
        }
        for (index_t t = 0; t < tokens; ++t)
            for (index_t c = 0; c < width; ++c) {
                d_qkv[k_at + t * stride + c] = T(d_k[t * width + c]);
                d_qkv[v_at + t * stride + c] = T(d_v[t * width + c]);
            }
    });
}

}  // namespace snug::SNUG_TARGET::backend::host
