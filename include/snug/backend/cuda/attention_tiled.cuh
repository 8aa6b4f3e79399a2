// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <snug/backend/cuda/attention_arguments.cuh>
#include <snug/backend/cuda/intrinsics.cuh>

/// Attention on tensor cores. A warp owns blocks of 16 resident rows (queries; keys where their gradients are summed),
/// against which tiles of the other kind stream through shared memory. A product's result stays in registers, where it
/// has the layout of the left operand of the next: scores and probabilities are never stored.
namespace snug::SNUG_TARGET::backend::cuda::attending::tiled {

/// Rows of a tile lie this many elements apart: 16 bytes more than they are wide, an odd number of 16 bytes, so that
/// any eight rows that ldmatrix reads at once lie in different banks.
template <int Width>
inline constexpr int tile_stride = Width + 8;

template <class Shape>
struct forward_tiling {
    static constexpr int width = static_cast<int>(Shape::head_width);
    static constexpr int stride = tile_stride<width>;
    static constexpr int warps = 4;
    static constexpr int threads = 32 * warps;
    /// Blocks of 16 queries in a warp: each fragment of keys or values that is loaded is multiplied with all of them.
    static constexpr int blocks = width <= 128 ? 2 : 1;
    static constexpr int rows = warps * blocks * 16;
    static constexpr int keys = width <= 128 ? 64 : 32;
    static constexpr bool queries_in_registers = width <= 64;
    /// Behind the tiles: the first key that each query sees.
    static constexpr int tiles = (rows + 2 * keys) * stride;
    static constexpr std::size_t shared_bytes = 2u * tiles + 4u * rows;
};

/// Of the kernels of backward: `Blocks` of 16 rows stay with each warp, tiles of `Passing` rows pass by. There are two
/// kinds of each; the passing ones are buffered twice.
template <class Shape, int Warps, int Blocks, int Passing>
struct backward_tiling {
    static constexpr int width = static_cast<int>(Shape::head_width);
    static constexpr int stride = tile_stride<width>;
    static constexpr int threads = 32 * Warps;
    static constexpr int blocks = Blocks;
    static constexpr int warp_rows = 16 * Blocks;
    static constexpr int rows = warp_rows * Warps;
    static constexpr int passing = Passing;
    static constexpr int tile = passing * stride;
    static constexpr int resident_tile = rows * stride;
    static constexpr int buffers = 4 * tile + 2 * resident_tile;
    static_assert(rows % passing == 0 || passing % rows == 0);
    /// Behind the buffers, where keys stay: exponents and row sums of a tile of queries, twice; then an end for each
    /// key.
    static constexpr std::size_t shared_bytes = 2u * buffers + 4 * 4u * passing + 4u * rows;
};

template <class Shape>
using narrow_or_wide = std::conditional_t<Shape::head_width <= 128, backward_tiling<Shape, 4, 1, 32>,
                                          backward_tiling<Shape, 2, 1, 16>>;
template <class Shape>
using key_tiling =
    std::conditional_t<Shape::head_width <= 64, backward_tiling<Shape, 4, 2, 32>, narrow_or_wide<Shape>>;
template <class Shape>
using query_tiling =
    std::conditional_t<Shape::head_width <= 64, backward_tiling<Shape, 4, 2, 64>, narrow_or_wide<Shape>>;

__device__ inline int lane() { return static_cast<int>(threadIdx.x) % warp_width; }
/// Of this thread; the shuffle tells the compiler that all lanes of a warp have the same, and take the same branches.
__device__ inline int warp() { return __shfl_sync(full_warp, static_cast<int>(threadIdx.x) / warp_width, 0); }

/// Starts to copy a tile of `Rows` rows, of which `valid` exist; the others become zeros, and their addresses are not
/// read (compute-sanitizer before 2026.4 may say that they are).
template <int Rows, int Width, int Threads, class T>
__device__ __forceinline__ void copy_tile(T* tile, T const* from, index_t stride, int valid) {
    constexpr int row_pieces = Width / 8;
    constexpr int pieces = Rows * row_pieces;
    int const thread = static_cast<int>(threadIdx.x);
    if constexpr (Threads % row_pieces == 0) {
        // All pieces of a thread lie in one column: one address, and constants to add to it.
        constexpr int rows_at_once = Threads / row_pieces;
        int const row = thread / row_pieces, column = thread % row_pieces * 8;
        T* const to = tile + row * tile_stride<Width> + column;
        T const* const start = from + row * stride + column;
#pragma unroll
        for (int first = 0; first < Rows; first += rows_at_once)
            if (Rows % rows_at_once == 0 || first + row < Rows)
                copy_async_16(to + first * tile_stride<Width>, start + first * stride, first + row < valid);
    } else {
#pragma unroll
        for (int first = 0; first < pieces; first += Threads) {
            int const piece = first + thread;
            int const row = piece / row_pieces, column = piece % row_pieces * 8;
            if (pieces % Threads == 0 || piece < pieces)
                copy_async_16(tile + row * tile_stride<Width> + column, from + row * stride + column,
                              row < valid);
        }
    }
}

/// A warp's rows of a tile as left operands: kept in registers, or loaded each time.
template <class T, int Width, int Blocks, bool InRegisters>
struct left_rows {
    static constexpr int steps = Width / 16;
    T const* row_of_lane;
    std::uint32_t kept[InRegisters ? steps : 1][InRegisters ? Blocks : 1][4];

    __device__ __forceinline__ explicit left_rows(T const* rows)
        : row_of_lane{rows + lane() % 16 * tile_stride<Width> + lane() / 16 * 8} {
        if constexpr (InRegisters) {
#pragma unroll
            for (int k = 0; k < steps; ++k)
#pragma unroll
                for (int b = 0; b < Blocks; ++b) load(kept[k][b], k, b);
        }
    }
    __device__ __forceinline__ void load(std::uint32_t (&fragment)[4], int k, int b) const {
        load_matrices(fragment, row_of_lane + b * 16 * tile_stride<Width> + k * 16);
    }
    __device__ __forceinline__ void get(std::uint32_t (&fragment)[4], int k, int b) const {
        if constexpr (InRegisters) {
#pragma unroll
            for (int i = 0; i < 4; ++i) fragment[i] = kept[k][b][i];
        } else {
            load(fragment, k, b);
        }
    }
};

/// Where number i of a group of sums stands: its row of the block, and its column.
__device__ __forceinline__ int row_in_block(int i) { return lane() / 4 + i / 2 * 8; }
__device__ __forceinline__ int column_of(int group, int i) { return group * 8 + lane() % 4 * 2 + i % 2; }

/// Sums of a warp: blocks of 16 rows by groups of 8 columns. Lane l holds, of a block and a group, columns 2 (l % 4)
/// and one more of row l / 4, then the same of row l / 4 + 8.
template <int Blocks, int Columns>
struct sums {
    float at[Blocks][Columns / 8][4];

    __device__ __forceinline__ void clear() {
#pragma unroll
        for (int b = 0; b < Blocks; ++b)
#pragma unroll
            for (int n = 0; n < Columns / 8; ++n)
#pragma unroll
                for (int i = 0; i < 4; ++i) at[b][n][i] = 0.0f;
    }
    /// f(number, block, group, i) for each number that this lane holds.
    template <class F>
    __device__ __forceinline__ void for_each(F const& f) {
#pragma unroll
        for (int b = 0; b < Blocks; ++b)
#pragma unroll
            for (int n = 0; n < Columns / 8; ++n)
#pragma unroll
                for (int i = 0; i < 4; ++i) f(at[b][n][i], b, n, i);
    }
};

/// s = A Bᵀ, with the rows of a tile as columns of Bᵀ.
template <class T, int Width, int Blocks, int Rows, bool InRegisters>
__device__ __forceinline__ void multiply_rows(sums<Blocks, Rows>& s,
                                              left_rows<T, Width, Blocks, InRegisters> const& a,
                                              T const* tile) {
    constexpr int stride = tile_stride<Width>;
    T const* const row_of_lane = tile + (lane() % 8 + lane() / 16 * 8) * stride + lane() / 8 % 2 * 8;
    s.clear();
#pragma unroll
    for (int k = 0; k < Width / 16; ++k) {
        std::uint32_t left[Blocks][4];
#pragma unroll
        for (int b = 0; b < Blocks; ++b) a.get(left[b], k, b);
#pragma unroll
        for (int n = 0; n < Rows / 16; ++n) {
            std::uint32_t r[4];
            load_matrices(r, row_of_lane + n * 16 * stride + k * 16);
            std::uint32_t const right[2][2] = {{r[0], r[1]}, {r[2], r[3]}};
#pragma unroll
            for (int b = 0; b < Blocks; ++b) {
                multiply_16x8x16<T>(s.at[b][2 * n], left[b], right[0]);
                multiply_16x8x16<T>(s.at[b][2 * n + 1], left[b], right[1]);
            }
        }
    }
}

/// to += P B, P rounded to T, with the rows of a tile as rows of B.
template <class T, int Width, int Blocks, int Rows>
__device__ __forceinline__ void add_product(sums<Blocks, Width>& to, sums<Blocks, Rows> const& p,
                                            T const* tile) {
    constexpr int stride = tile_stride<Width>;
    T const* const row_of_lane = tile + lane() % 16 * stride + lane() / 16 * 8;
#pragma unroll
    for (int k = 0; k < Rows / 16; ++k) {
        std::uint32_t left[Blocks][4];
#pragma unroll
        for (int b = 0; b < Blocks; ++b)
#pragma unroll
            for (int i = 0; i < 4; ++i) {
                auto const& from = p.at[b][2 * k + i / 2];
                left[b][i] = packed<T>(from[i % 2 * 2], from[i % 2 * 2 + 1]);
            }
#pragma unroll
        for (int n = 0; n < Width / 16; ++n) {
            std::uint32_t r[4];
            load_matrices_transposed(r, row_of_lane + k * 16 * stride + n * 16);
            std::uint32_t const right[2][2] = {{r[0], r[1]}, {r[2], r[3]}};
#pragma unroll
            for (int b = 0; b < Blocks; ++b) {
                multiply_16x8x16<T>(to.at[b][2 * n], left[b], right[0]);
                multiply_16x8x16<T>(to.at[b][2 * n + 1], left[b], right[1]);
            }
        }
    }
}

/// Stores sums times a factor for each row, `valid` rows of them. They pass through this warp's rows of a tile, which
/// no other warp touches, so that a store is of 16 bytes.
template <class T, int Width, int Blocks>
__device__ __forceinline__ void store_rows(sums<Blocks, Width> const& from, float const (&factor)[Blocks][2],
                                           T* tile, T* to, index_t stride, int valid) {
    constexpr int row_pieces = Width / 8;
    __syncwarp();
#pragma unroll
    for (int b = 0; b < Blocks; ++b)
#pragma unroll
        for (int n = 0; n < Width / 8; ++n)
#pragma unroll
            for (int half = 0; half < 2; ++half) {
                auto const& s = from.at[b][n];
                float const f = factor[b][half];
                int const row = b * 16 + lane() / 4 + half * 8, column = n * 8 + lane() % 4 * 2;
                *reinterpret_cast<std::uint32_t*>(tile + row * tile_stride<Width> + column) =
                    packed<T>(s[2 * half] * f, s[2 * half + 1] * f);
            }
    __syncwarp();
#pragma unroll
    for (int first = 0; first < Blocks * 16 * row_pieces; first += warp_width) {
        int const piece = first + lane();
        int const row = piece / row_pieces, column = piece % row_pieces * 8;
        if (row < valid)
            store_elements(to + row * stride + column,
                           load_elements<8>(tile + row * tile_stride<Width> + column));
    }
}

/// A sum or a maximum over the four lanes that share a row.
__device__ __forceinline__ float sum_of_row(float x) {
    x += __shfl_xor_sync(full_warp, x, 1);
    return x + __shfl_xor_sync(full_warp, x, 2);
}
__device__ __forceinline__ float largest_of_row(float x) {
    x = fmaxf(x, __shfl_xor_sync(full_warp, x, 1));
    return fmaxf(x, __shfl_xor_sync(full_warp, x, 2));
}

/// The softmax of rows whose scores arrive tile by tile.
template <int Blocks>
struct online_softmax {
    float largest[Blocks][2];
    /// Of the columns of this lane only.
    float total[Blocks][2];

    __device__ __forceinline__ online_softmax() {
#pragma unroll
        for (int b = 0; b < Blocks; ++b)
#pragma unroll
            for (int half = 0; half < 2; ++half) {
                largest[b][half] = -INFINITY;
                total[b][half] = 0.0f;
            }
    }

    /// Scores become probabilities, up to the factor that `total` is at the end; `out` follows.
    template <int Columns, int Width>
    __device__ __forceinline__ void update(sums<Blocks, Columns>& s, sums<Blocks, Width>& out, float scale) {
#pragma unroll
        for (int b = 0; b < Blocks; ++b)
#pragma unroll
            for (int half = 0; half < 2; ++half) {
                float now = s.at[b][0][2 * half];
#pragma unroll
                for (int n = 0; n < Columns / 8; ++n)
                    now = fmaxf(now, fmaxf(s.at[b][n][2 * half], s.at[b][n][2 * half + 1]));
                now = fmaxf(largest[b][half], largest_of_row(now));
                // A row that has seen nothing yet keeps minus infinity, which nothing can be subtracted from. The
                // correction is exactly 1 while the largest stays, or all tiles after it would add up its error.
                float const base = now == -INFINITY ? 0.0f : now;
                float const offset = base * scale;
                float const correction = power_of_two((largest[b][half] - base) * scale);
                largest[b][half] = now;
                float sum = total[b][half] * correction;
#pragma unroll
                for (int n = 0; n < Columns / 8; ++n)
#pragma unroll
                    for (int i = 2 * half; i < 2 * half + 2; ++i) {
                        s.at[b][n][i] = power_of_two(s.at[b][n][i] * scale - offset);
                        sum += s.at[b][n][i];
                    }
                total[b][half] = sum;
#pragma unroll
                for (int n = 0; n < Width / 8; ++n)
#pragma unroll
                    for (int i = 2 * half; i < 2 * half + 2; ++i) out.at[b][n][i] *= correction;
            }
    }
};

template <class Shape, class T, class S>
__global__ void __launch_bounds__(forward_tiling<Shape>::threads)
    forward_kernel(forward_arguments<T, S> const a, score_scales<Shape, float> const scale) {
    using tiling = forward_tiling<Shape>;
    constexpr int width = tiling::width, keys = tiling::keys, blocks = tiling::blocks;
    constexpr int threads = tiling::threads, heads = static_cast<int>(Shape::heads);
    constexpr index_t stride = Shape::qkv_width;
    constexpr index_t to_values = Shape::value_offset - Shape::key_offset;

    task const work(static_cast<int>(blockIdx.x), a.sequences, heads);
    // Later tiles see more keys: they are the first to start, so that all end together.
    int const first = ((a.tokens - 1) / tiling::rows - work.tile) * tiling::rows;
    int const rows = min(tiling::rows, a.tokens - first);
    index_t const row0 = static_cast<index_t>(work.sequence) * a.tokens;
    // Keys are counted from the first that the tile's first query sees: none sees an earlier one.
    index_t const begin = first_key<Shape>(a.starts, row0 + first, a.past + first);
    int const count = static_cast<int>(a.past + first - begin) + rows;
    int const diagonal = count - rows;
    int const last_start = static_cast<int>(
        first_key<Shape>(a.starts, row0 + first + rows - 1, a.past + first + rows - 1) - begin);
    int const warp_row = warp() * blocks * 16;

    T* const q_tile = reinterpret_cast<T*>(dynamic_shared());
    T* const k_tile = q_tile + tiling::rows * tiling::stride;
    T* const v_tile = k_tile + keys * tiling::stride;
    T const* k_rows = a.qkv + (row0 - a.past + begin) * stride + Shape::key_offset +
                      work.head / static_cast<int>(Shape::queries_per_key) * width;

    copy_tile<tiling::rows, width, threads>(q_tile, a.qkv + (row0 + first) * stride + work.head * width,
                                            stride, rows);
    commit_copies();
    copy_tile<keys, width, threads>(k_tile, k_rows, stride, count);
    commit_copies();
    int* const first_keys = reinterpret_cast<int*>(q_tile + tiling::tiles);
    for (int i = static_cast<int>(threadIdx.x); i < tiling::rows; i += threads) {
        int const row = first + min(i, rows - 1);
        first_keys[i] = static_cast<int>(first_key<Shape>(a.starts, row0 + row, a.past + row) - begin);
    }
    wait_copies<1>();
    __syncthreads();
    left_rows<T, width, blocks, tiling::queries_in_registers> const q(q_tile + warp_row * tiling::stride);

    sums<blocks, width> out;
    out.clear();
    online_softmax<blocks> softmax;
    // Keys arrive while the values before them are multiplied, values while scores are.
    for (int key = 0; key < count; key += keys) {
        wait_copies<0>();
        __syncthreads();
        copy_tile<keys, width, threads>(v_tile, k_rows + to_values, stride, count - key);
        commit_copies();

        // The last rows of a block see keys that its first rows do not.
        bool const sees = key <= diagonal + warp_row + blocks * 16 - 1;
        sums<blocks, keys> s;
        if (sees) {
            multiply_rows(s, q, k_tile);
            if (key + keys - 1 > diagonal + warp_row || key < last_start) {
                // Of number (b, n, j), the columns beyond the diagonal, and those before the first key.
                int const column = key + lane() % 4 * 2;
                int const beyond = column - diagonal - warp_row - lane() / 4;
                int const* const low = first_keys + warp_row + lane() / 4;
                int lows[blocks][2];  // read at once, for a select instead of branches at every score
#pragma unroll
                for (int b = 0; b < blocks; ++b) lows[b][0] = low[b * 16], lows[b][1] = low[b * 16 + 8];
                s.for_each([&](float& score, int b, int n, int j) {
                    int const right = n * 8 + j % 2, down = b * 16 + j / 2 * 8;
                    bool const hidden = (beyond > down - right) | (column + right < lows[b][j / 2]);
                    score = hidden ? -INFINITY : score;
                });
            }
        }
        wait_copies<0>();
        __syncthreads();
        k_rows += keys * stride;
        if (key + keys < count) copy_tile<keys, width, threads>(k_tile, k_rows, stride, count - key - keys);
        commit_copies();
        if (sees) {
            softmax.update(s, out, scale.to_base_2);
            add_product(out, s, v_tile);
        }
    }

    float inverse[blocks][2];
#pragma unroll
    for (int b = 0; b < blocks; ++b)
#pragma unroll
        for (int half = 0; half < 2; ++half) {
            float const total = sum_of_row(softmax.total[b][half]);
            inverse[b][half] = 1.0f / total;
            int const row = warp_row + b * 16 + half * 8 + lane() / 4;
            if (lane() % 4 == 0 && row < rows)
                a.logsumexp[(row0 + first + row) * heads + work.head] =
                    static_cast<S>(softmax.largest[b][half] * scale.plain + logf(total));
        }
    store_rows(out, inverse, q_tile + warp_row * tiling::stride,
               a.out + (row0 + first + warp_row) * Shape::output_width + work.head * width,
               Shape::output_width, rows - warp_row);
}

/// The first query after row `key` of a sequence that does not see it: that of a later example, or beyond the window,
/// or none.
template <class Shape>
__device__ int end_of_queries(std::int32_t const* starts, int tokens, int key) {
    if constexpr (Shape::window > 0)
        tokens = static_cast<int>(min(static_cast<index_t>(tokens), key + Shape::window));
    if (starts == nullptr) return tokens;
    int low = key + 1, high = tokens;
    while (low < high) {
        int const middle = low + (high - low) / 2;
        if (starts[middle] > key) high = middle;
        else low = middle + 1;
    }
    return low;
}

/// dK and dV of a tile of keys, from all the queries of its group of heads that see it. Scores are computed transposed,
/// a key to a row, so that their transpose is what stands in registers.
template <class Shape, class T, class S>
__global__ void __launch_bounds__(key_tiling<Shape>::threads)
    key_gradients_kernel(backward_arguments<T, S> const a, score_scales<Shape, float> const scale) {
    using tiling = key_tiling<Shape>;
    constexpr int width = tiling::width, blocks = tiling::blocks, passing = tiling::passing,
                  threads = tiling::threads;
    constexpr int group = static_cast<int>(Shape::queries_per_key);
    constexpr index_t stride = Shape::qkv_width;

    // Earlier keys are seen by more queries, and are the first to start.
    task const work(static_cast<int>(blockIdx.x), a.sequences, static_cast<int>(Shape::kv_heads));
    int const first = work.tile * tiling::rows;
    int const rows = min(tiling::rows, a.tokens - first);
    index_t const row0 = static_cast<index_t>(work.sequence) * a.tokens;
    std::int32_t const* const starts = a.starts != nullptr ? a.starts + row0 : nullptr;
    int const warp_row = warp() * tiling::warp_rows;

    T* const buffers = reinterpret_cast<T*>(dynamic_shared());
    T* const resident = buffers + 4 * tiling::tile;
    T *const k_tile = resident, *const v_tile = resident + tiling::resident_tile;
    float* const statistics = reinterpret_cast<float*>(buffers + tiling::buffers);
    int* const ends = reinterpret_cast<int*>(statistics + 4 * passing);

    T const* const k_rows = a.qkv + (row0 + first) * stride + Shape::key_offset + work.head * width;
    copy_tile<tiling::rows, width, threads>(k_tile, k_rows, stride, rows);
    copy_tile<tiling::rows, width, threads>(v_tile, k_rows + (Shape::value_offset - Shape::key_offset),
                                            stride, rows);
    commit_copies();
    for (int i = static_cast<int>(threadIdx.x); i < tiling::rows; i += threads)
        ends[i] = end_of_queries<Shape>(starts, a.tokens, first + min(i, rows - 1));
    __syncthreads();

    // Steps go over the tiles of queries of a head that see one of the keys, then to the next head.
    int const tiles = (ends[rows - 1] - first + passing - 1) / passing;
    int const steps = group * tiles;
    int const end = first + tiles * passing;
    int const warp_end = ends[warp_row];
    int next_head = work.head * group, next_query = first;
    auto const start_step = [&](int step) {
        T* const to = buffers + step % 2 * 2 * tiling::tile;
        int const head = next_head, query = next_query;
        next_query += passing;
        if (next_query == end) next_query = first, ++next_head;
        copy_tile<passing, width, threads>(to, a.qkv + (row0 + query) * stride + head * width, stride,
                                           a.tokens - query);
        copy_tile<passing, width, threads>(to + tiling::tile,
                                           a.d_out + (row0 + query) * Shape::output_width + head * width,
                                           Shape::output_width, a.tokens - query);
        constexpr int pieces = passing / 4;
        if (static_cast<int>(threadIdx.x) < 2 * pieces) {
            int const which = static_cast<int>(threadIdx.x) / pieces;
            int const piece = static_cast<int>(threadIdx.x) % pieces * 4;
            index_t const from = (work.sequence * Shape::heads + head) * a.padded_tokens + query + piece;
            copy_async_16(statistics + (step % 2 * 2 + which) * passing + piece,
                          (which == 0 ? a.exponents : a.row_sums) + from);
        }
        commit_copies();
    };

    start_step(0);
    wait_copies<1>();
    __syncthreads();
    using left = left_rows<T, width, blocks, false>;
    left const k(k_tile + warp_row * tiling::stride), v(v_tile + warp_row * tiling::stride);

    sums<blocks, width> d_k, d_v;
    d_k.clear();
    d_v.clear();
    int query = first - passing;
    for (int step = 0; step < steps; ++step) {
        wait_copies<0>();
        __syncthreads();
        if (step + 1 < steps) start_step(step + 1);

        query = query + passing == end ? first : query + passing;
        int const key = first + warp_row;
        if (query + passing - 1 < key) continue;
        T const* const q = buffers + step % 2 * 2 * tiling::tile;
        T const* const d_o = q + tiling::tile;
        float const* const exponents = statistics + step % 2 * 2 * passing;
        float const* const row_sums = exponents + passing;

        sums<blocks, passing> p;
        multiply_rows(p, k, q);
        p.for_each([&](float& x, int, int n, int i) {
            x = power_of_two(x * scale.to_base_2 - exponents[column_of(n, i)]);
        });
        if (query < key + tiling::warp_rows - 1 || query + passing > warp_end) {
            // Of number (b, n, i), the queries before the key, and those that see it no longer.
            int const column = query + lane() % 4 * 2;
            int const before = key + lane() / 4 - column;
            int const* const row_ends = ends + warp_row + lane() / 4;
            int row_end[blocks][2];
#pragma unroll
            for (int b = 0; b < blocks; ++b)
                row_end[b][0] = row_ends[b * 16], row_end[b][1] = row_ends[b * 16 + 8];
            p.for_each([&](float& x, int b, int n, int i) {
                int const right = n * 8 + i % 2, down = b * 16 + i / 2 * 8;
                bool const hidden = (before > right - down) | (column + right >= row_end[b][i / 2]);
                x = hidden ? 0.0f : x;
            });
        }
        add_product(d_v, p, d_o);

        sums<blocks, passing> d_s;
        multiply_rows(d_s, v, d_o);
        d_s.for_each(
            [&](float& x, int b, int n, int i) { x = p.at[b][n][i] * (x - row_sums[column_of(n, i)]); });
        add_product(d_k, d_s, q);
    }

    constexpr index_t to_width = attention_backward_sizes<Shape, T>::gradients_width;
    T* const to = a.key_gradients + (row0 + first + warp_row) * to_width + work.head * width;
    float k_factor[blocks][2], v_factor[blocks][2];
#pragma unroll
    for (int b = 0; b < blocks; ++b) {
        k_factor[b][0] = k_factor[b][1] = scale.plain;
        v_factor[b][0] = v_factor[b][1] = 1.0f;
    }
    store_rows(d_k, k_factor, k_tile + warp_row * tiling::stride, to, to_width, rows - warp_row);
    store_rows(d_v, v_factor, v_tile + warp_row * tiling::stride, to + to_width / 2, to_width,
               rows - warp_row);
}

/// dQ of a tile of queries, written where Q may lie: the block has its Q by then, and no other reads it.
template <class Shape, class T, class S>
__global__ void __launch_bounds__(query_tiling<Shape>::threads)
    query_gradients_kernel(backward_arguments<T, S> const a, score_scales<Shape, float> const scale) {
    using tiling = query_tiling<Shape>;
    constexpr int width = tiling::width, blocks = tiling::blocks, passing = tiling::passing,
                  threads = tiling::threads;
    constexpr int heads = static_cast<int>(Shape::heads);
    constexpr index_t stride = Shape::qkv_width;
    constexpr index_t to_values = Shape::value_offset - Shape::key_offset;

    task const work(static_cast<int>(blockIdx.x), a.sequences, heads);
    int const first = ((a.tokens - 1) / tiling::rows - work.tile) * tiling::rows;
    int const rows = min(tiling::rows, a.tokens - first);
    index_t const row0 = static_cast<index_t>(work.sequence) * a.tokens;
    std::int32_t const* const starts = a.starts != nullptr ? a.starts + row0 : nullptr;
    int const begin = first_key<Shape>(starts, first, first);
    int const last_start = first_key<Shape>(starts, first + rows - 1, first + rows - 1);
    int const count = first + rows - begin;
    int const steps = (count + passing - 1) / passing;
    int const warp_row = warp() * tiling::warp_rows;

    T* const buffers = reinterpret_cast<T*>(dynamic_shared());
    T* const resident = buffers + 4 * tiling::tile;
    T *const q_tile = resident, *const d_o_tile = resident + tiling::resident_tile;
    T const* const k_rows = a.qkv + (row0 + begin) * stride + Shape::key_offset +
                            work.head / static_cast<int>(Shape::queries_per_key) * width;
    auto const start_step = [&](int step) {
        T* const to = buffers + step % 2 * 2 * tiling::tile;
        T const* const from = k_rows + step * passing * stride;
        copy_tile<passing, width, threads>(to, from, stride, count - step * passing);
        copy_tile<passing, width, threads>(to + tiling::tile, from + to_values, stride,
                                           count - step * passing);
        commit_copies();
    };

    copy_tile<tiling::rows, width, threads>(q_tile, a.qkv + (row0 + first) * stride + work.head * width,
                                            stride, rows);
    copy_tile<tiling::rows, width, threads>(
        d_o_tile, a.d_out + (row0 + first) * Shape::output_width + work.head * width, Shape::output_width,
        rows);
    commit_copies();
    start_step(0);
    float exponent[blocks][2], row_sum[blocks][2];
    index_t const statistics =
        (work.sequence * Shape::heads + work.head) * a.padded_tokens + first + warp_row + lane() / 4;
#pragma unroll
    for (int b = 0; b < blocks; ++b)
#pragma unroll
        for (int half = 0; half < 2; ++half) {
            exponent[b][half] = a.exponents[statistics + b * 16 + half * 8];
            row_sum[b][half] = a.row_sums[statistics + b * 16 + half * 8];
        }
    wait_copies<1>();
    __syncthreads();
    using left = left_rows<T, width, blocks, false>;
    left const q(q_tile + warp_row * tiling::stride), d_o(d_o_tile + warp_row * tiling::stride);

    sums<blocks, width> d_q;
    d_q.clear();
    for (int step = 0; step < steps; ++step) {
        wait_copies<0>();
        __syncthreads();
        if (step + 1 < steps) start_step(step + 1);

        int const key = begin + step * passing;
        int const query = first + warp_row;
        if (key > query + tiling::warp_rows - 1) continue;
        T const* const k = buffers + step % 2 * 2 * tiling::tile;
        T const* const v = k + tiling::tile;

        sums<blocks, passing> p;
        multiply_rows(p, q, k);
        p.for_each(
            [&](float& x, int b, int, int i) { x = power_of_two(x * scale.to_base_2 - exponent[b][i / 2]); });
        if (key + passing - 1 > query || key < last_start) {
            // Of number (b, n, i), the keys behind the query, and those before its example.
            int const row = query + lane() / 4, column = key + lane() % 4 * 2;
            p.for_each([&](float& x, int b, int n, int i) {
                int const right = n * 8 + i % 2, down = b * 16 + i / 2 * 8;
                int const seeing = min(row + down, a.tokens - 1);
                int const low = first_key<Shape>(starts, seeing, seeing);
                if (column - row > down - right || column + right < low) x = 0.0f;
            });
        }

        sums<blocks, passing> d_s;
        multiply_rows(d_s, d_o, v);
        d_s.for_each([&](float& x, int b, int n, int i) { x = p.at[b][n][i] * (x - row_sum[b][i / 2]); });
        add_product(d_q, d_s, k);
    }

    float factor[blocks][2];
#pragma unroll
    for (int b = 0; b < blocks; ++b) factor[b][0] = factor[b][1] = scale.plain;
    store_rows(d_q, factor, q_tile + warp_row * tiling::stride,
               a.d_qkv + (row0 + first + warp_row) * stride + work.head * width, stride, rows - warp_row);
}

}  // namespace snug::SNUG_TARGET::backend::cuda::attending::tiled
