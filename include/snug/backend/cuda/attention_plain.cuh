// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <snug/backend/cuda/attention_arguments.cuh>

/// Attention without tensor cores, for fp32, fp64 and head widths that are no multiple of 16: the tiles of the other
/// kernels, small and multiplied number by number in the type of the sums. A block's threads form a square: thread
/// (i, j) computes the score of resident row i and streamed row j, then every `side`-th column of what row i sums.
namespace snug::SNUG_TARGET::backend::cuda::attending::plain {

template <class Shape, class T>
struct tiling {
    using sum = attention_sum<T>;
    static constexpr int width = static_cast<int>(Shape::head_width);
    /// One more than the width: threads that read a column read different banks.
    static constexpr int stride = width + 1;

    static constexpr std::size_t bytes(int rows) {
        return sizeof(sum) * static_cast<std::size_t>(4 * rows * stride + 2 * rows * rows);
    }
    /// Rows of a tile: as many as leave room in the 96 KiB that every device has.
    static constexpr int fitting_side(int rows) {
        return rows == 1 || bytes(rows) <= 96 * 1024 ? rows : fitting_side(rows / 2);
    }
    static constexpr int side = fitting_side(16);
    static_assert(bytes(side) <= 96 * 1024, "snug: a head is too wide for the shared memory of a GPU");
    static constexpr int rows = side;
    static constexpr int threads = side * side;
    static constexpr int columns = (width + side - 1) / side;
    static constexpr std::size_t shared_bytes = bytes(side);

    static constexpr int tiles(int rows) { return (rows + side - 1) / side; }
};

/// The shared memory of a block and a thread's place in it.
template <class Shape, class T>
struct block {
    using tiles = tiling<Shape, T>;
    using sum = typename tiles::sum;
    static constexpr int side = tiles::side;
    static constexpr int stride = tiles::stride;
    static constexpr int width = tiles::width;

    int i = static_cast<int>(threadIdx.x) / side;
    int j = static_cast<int>(threadIdx.x) % side;
    sum* memory = reinterpret_cast<sum*>(dynamic_shared());

    __device__ sum* tile(int number) const { return memory + number * side * stride; }
    __device__ sum* square(int number) const { return tile(4) + number * side * side; }

    /// `rows` rows of global memory, zeros for the rest of the tile.
    __device__ void load(sum* to, T const* from, index_t from_stride, int rows) const {
        for (int e = static_cast<int>(threadIdx.x); e < side * width; e += tiles::threads) {
            int const row = e / width, column = e % width;
            to[row * stride + column] =
                row < rows ? static_cast<sum>(from[row * from_stride + column]) : sum(0);
        }
    }
    /// Row i of one tile times row j of another.
    __device__ sum dot(sum const* a, sum const* b) const {
        sum total{};
        for (int c = 0; c < width; ++c) total += a[i * stride + c] * b[j * stride + c];
        return total;
    }
    /// sums += row i of a square, times a tile: columns j, j + side, ...
    __device__ void add_product(sum (&sums)[tiles::columns], sum const* weights, sum const* b) const {
#pragma unroll
        for (int n = 0; n < tiles::columns; ++n) {
            int const column = j + n * side;
            if (column < width)
                for (int k = 0; k < side; ++k) sums[n] += weights[i * side + k] * b[k * stride + column];
        }
    }
    __device__ void store(T* row, sum const (&sums)[tiles::columns], sum factor) const {
#pragma unroll
        for (int n = 0; n < tiles::columns; ++n) {
            int const column = j + n * side;
            if (column < width) row[column] = static_cast<T>(sums[n] * factor);
        }
    }
};

template <class Shape, class T, class S>
__global__ void __launch_bounds__(tiling<Shape, T>::threads)
    forward_kernel(forward_arguments<T, S> const a, score_scales<Shape, attention_sum<T>> const scale) {
    using tiles = tiling<Shape, T>;
    using sum = typename tiles::sum;
    constexpr int side = tiles::side;
    block<Shape, T> const here;
    int const last_tile = tiles::tiles(a.tokens) - 1;
    task const work(static_cast<int>(blockIdx.x), a.sequences, static_cast<int>(Shape::heads));
    // Later tiles see more keys: they are the first to start.
    int const first = (last_tile - work.tile) * side;
    int const rows = min(side, a.tokens - first);
    index_t const row0 = static_cast<index_t>(work.sequence) * a.tokens;
    index_t const begin = first_key<Shape>(a.starts, row0 + first, a.past + first);
    index_t const end = a.past + first + rows;
    index_t const position = a.past + first + here.i;
    int const last = min(first + here.i, a.tokens - 1);
    index_t const low = first_key<Shape>(a.starts, row0 + last, a.past + last);

    sum *const q = here.tile(0), *const k = here.tile(1), *const v = here.tile(2);
    sum *const scores = here.square(0), *const weights = here.square(1);
    constexpr index_t stride = Shape::qkv_width;
    here.load(q, a.qkv + (row0 + first) * stride + work.head * Shape::head_width, stride, rows);
    T const* const keys = a.qkv + (row0 - a.past) * stride + Shape::key_offset +
                          work.head / Shape::queries_per_key * Shape::head_width;
    constexpr index_t to_values = Shape::value_offset - Shape::key_offset;

    sum out[tiles::columns] = {};
    sum largest = -INFINITY;
    sum total{};
    for (index_t key = begin; key < end; key += side) {
        __syncthreads();
        int const count = static_cast<int>(min(end - key, index_t{side}));
        here.load(k, keys + key * stride, stride, count);
        here.load(v, keys + key * stride + to_values, stride, count);
        __syncthreads();
        bool const visible = key + here.j >= low && key + here.j <= position;
        scores[here.i * side + here.j] = visible ? here.dot(q, k) * scale.to_base_2 : -INFINITY;
        __syncthreads();
        sum now = largest;
        for (int n = 0; n < side; ++n) now = max(now, scores[here.i * side + n]);
        // A row that has seen nothing yet keeps minus infinity, which nothing can be subtracted from.
        sum const offset = now == -INFINITY ? sum(0) : now;
        weights[here.i * side + here.j] = std::exp2(scores[here.i * side + here.j] - offset);
        __syncthreads();
        sum const correction = std::exp2(largest - offset);
        largest = now;
        total *= correction;
        for (int n = 0; n < side; ++n) total += weights[here.i * side + n];
#pragma unroll
        for (int n = 0; n < tiles::columns; ++n) out[n] *= correction;
        here.add_product(out, weights, v);
    }
    if (here.i >= rows) return;
    index_t const row = row0 + first + here.i;
    here.store(a.out + row * Shape::output_width + work.head * Shape::head_width, out, sum(1) / total);
    if (here.j == 0)
        a.logsumexp[row * Shape::heads + work.head] =
            static_cast<S>((largest + std::log2(total)) * static_cast<sum>(ln_2));
}

/// dK and dV of a tile of keys, from all the queries of its group of heads. Resident rows are keys, streamed ones queries.
template <class Shape, class T, class S>
__global__ void __launch_bounds__(tiling<Shape, T>::threads)
    key_gradients_kernel(backward_arguments<T, S> const a,
                         score_scales<Shape, attention_sum<T>> const scale) {
    using tiles = tiling<Shape, T>;
    using sum = typename tiles::sum;
    constexpr int side = tiles::side;
    block<Shape, T> const here;
    task const work(static_cast<int>(blockIdx.x), a.sequences, static_cast<int>(Shape::kv_heads));
    int const first = work.tile * side;
    int const rows = min(side, a.tokens - first);
    index_t const row0 = static_cast<index_t>(work.sequence) * a.tokens;

    sum *const k = here.tile(0), *const v = here.tile(1), *const q = here.tile(2), *const d_o = here.tile(3);
    sum *const p = here.square(0), *const d_s = here.square(1);
    constexpr index_t stride = Shape::qkv_width;
    T const* const keys = a.qkv + (row0 + first) * stride + Shape::key_offset + work.head * Shape::head_width;
    here.load(k, keys, stride, rows);
    here.load(v, keys + (Shape::value_offset - Shape::key_offset), stride, rows);

    sum d_k[tiles::columns] = {}, d_v[tiles::columns] = {};
    for (int g = 0; g < static_cast<int>(Shape::queries_per_key); ++g) {
        index_t const head = work.head * Shape::queries_per_key + g;
        index_t const statistics = (work.sequence * Shape::heads + head) * a.padded_tokens;
        for (int query = first; query < a.tokens; query += side) {
            // Examples follow each other, and windows move on: no later query sees these keys.
            if (first_key<Shape>(a.starts, row0 + query, query) >= first + rows) break;
            __syncthreads();
            int const count = min(side, a.tokens - query);
            here.load(q, a.qkv + (row0 + query) * stride + head * Shape::head_width, stride, count);
            here.load(d_o, a.d_out + (row0 + query) * Shape::output_width + head * Shape::head_width,
                      Shape::output_width, count);
            __syncthreads();
            int const seeing = min(query + here.j, a.tokens - 1);
            bool const visible = here.j < count && first + here.i <= query + here.j &&
                                 first + here.i >= first_key<Shape>(a.starts, row0 + seeing, seeing);
            index_t const statistic = statistics + query + here.j;
            sum const weight =
                visible ? std::exp2(here.dot(k, q) * scale.to_base_2 - a.exponents[statistic]) : sum(0);
            p[here.i * side + here.j] = weight;
            d_s[here.i * side + here.j] =
                visible ? weight * (here.dot(v, d_o) - a.row_sums[statistic]) : sum(0);
            __syncthreads();
            here.add_product(d_v, p, d_o);
            here.add_product(d_k, d_s, q);
        }
    }
    if (here.i >= rows) return;
    constexpr index_t width = attention_backward_sizes<Shape, T>::gradients_width;
    T* const to = a.key_gradients + (row0 + first + here.i) * width + work.head * Shape::head_width;
    here.store(to, d_k, scale.plain);
    here.store(to + width / 2, d_v, sum(1));
}

/// dQ of a tile of queries, written where Q may lie: no other block reads these. Resident rows are queries.
template <class Shape, class T, class S>
__global__ void __launch_bounds__(tiling<Shape, T>::threads)
    query_gradients_kernel(backward_arguments<T, S> const a,
                           score_scales<Shape, attention_sum<T>> const scale) {
    using tiles = tiling<Shape, T>;
    using sum = typename tiles::sum;
    constexpr int side = tiles::side;
    block<Shape, T> const here;
    int const last_tile = tiles::tiles(a.tokens) - 1;
    task const work(static_cast<int>(blockIdx.x), a.sequences, static_cast<int>(Shape::heads));
    int const first = (last_tile - work.tile) * side;
    int const rows = min(side, a.tokens - first);
    index_t const row0 = static_cast<index_t>(work.sequence) * a.tokens;
    int const row = min(first + here.i, a.tokens - 1);
    int const low = first_key<Shape>(a.starts, row0 + row, row);
    index_t const statistic = (work.sequence * Shape::heads + work.head) * a.padded_tokens + row;
    sum const exponent = a.exponents[statistic], row_sum = a.row_sums[statistic];

    sum *const q = here.tile(0), *const d_o = here.tile(1), *const k = here.tile(2), *const v = here.tile(3);
    sum* const d_s = here.square(0);
    constexpr index_t stride = Shape::qkv_width;
    here.load(q, a.qkv + (row0 + first) * stride + work.head * Shape::head_width, stride, rows);
    here.load(d_o, a.d_out + (row0 + first) * Shape::output_width + work.head * Shape::head_width,
              Shape::output_width, rows);
    T const* const keys =
        a.qkv + row0 * stride + Shape::key_offset + work.head / Shape::queries_per_key * Shape::head_width;

    sum d_q[tiles::columns] = {};
    for (int key = first_key<Shape>(a.starts, row0 + first, first); key < first + rows; key += side) {
        __syncthreads();
        int const count = min(side, first + rows - key);
        here.load(k, keys + key * stride, stride, count);
        here.load(v, keys + key * stride + (Shape::value_offset - Shape::key_offset), stride, count);
        __syncthreads();
        bool const visible = key + here.j >= low && key + here.j <= first + here.i;
        sum const weight = visible ? std::exp2(here.dot(q, k) * scale.to_base_2 - exponent) : sum(0);
        d_s[here.i * side + here.j] = visible ? weight * (here.dot(d_o, v) - row_sum) : sum(0);
        __syncthreads();
        here.add_product(d_q, d_s, k);
    }
    if (here.i >= rows) return;
    here.store(a.d_qkv + (row0 + first + here.i) * stride + work.head * Shape::head_width, d_q, scale.plain);
}

}  // namespace snug::SNUG_TARGET::backend::cuda::attending::plain
