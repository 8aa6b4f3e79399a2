// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <snug/backend/cuda/gemm_lines.cuh>

/// The product of bf16 and fp16 operands on tensor cores.
namespace snug::SNUG_TARGET::backend::cuda::detail {

/// A block computes 128 x `Columns`; each warp 64 x 32 of it.
template <int Columns>
struct tensor_tiling {
    static constexpr int rows = 128;
    static constexpr int columns = Columns;
    static constexpr int depth = 32;
    static constexpr int stages = 3;
    static constexpr int warp_rows = 64, warp_columns = 32;
    static constexpr int warps = rows / warp_rows * (columns / warp_columns);
    static constexpr int threads = warps * 32;
    static constexpr int blocks_per_processor = Columns == 128 ? 2 : 3;
    static constexpr int stage_elements = (rows + columns) * depth;
    /// The results of a warp pass through shared memory, 16 rows at a time, to be stored in rows.
    static constexpr int result_row = warp_columns + 4;
    static constexpr std::size_t stage_bytes = static_cast<std::size_t>(stages * stage_elements) * 2;
    static constexpr std::size_t result_bytes = static_cast<std::size_t>(warps * 16 * result_row) * 4;
    static constexpr std::size_t shared_bytes(int table_size) {
        return std::max(stage_bytes, result_bytes) + static_cast<std::size_t>(table_size) * 4;
    }
};

/// An operand's tile of `Across` x 32 in shared memory: lines as in memory, in chunks of 8 elements (16 bytes) that are
/// permuted so that eight lines' chunks of one position lie in different banks.
template <class T, class Lines, int Across, int Threads>
struct tensor_tile {
    static constexpr int depth = 32;
    static constexpr int line_chunks = Lines::along_depth ? depth / 8 : Across / 8;
    static constexpr int lines = Lines::along_depth ? Across : depth;
    static constexpr int mine = lines * line_chunks / Threads;  ///< chunks that a thread brings
    static_assert(mine * Threads == lines * line_chunks);

    __device__ static int offset(int line, int chunk) {
        int const turned = Lines::along_depth ? chunk ^ (line >> 1 & 3) : chunk ^ (line & 7);
        return (line * line_chunks + turned) * 8;
    }

    struct position {
        int line, chunk;
    };
    /// A thread's chunks: of a quantized operand neighbours, so that they share a scale.
    __device__ static position mine_at(int j) {
        int const c = Lines::at_once > 0 ? static_cast<int>(threadIdx.x) * mine + j
                                         : static_cast<int>(threadIdx.x) + j * Threads;
        return {c / line_chunks, c % line_chunks};
    }

    /// Where in the operand a tile begins.
    struct origin {
        int line, element;
    };
    __device__ static origin origin_of(int first_across, int first_depth) {
        return Lines::along_depth ? origin{first_across, first_depth} : origin{first_depth, first_across};
    }

    /// What a thread keeps of a quantized tile between reading and decoding: `pieces` of `piece_chunks`.
    static constexpr int piece_chunks = Lines::at_once == 16 && mine % 2 == 0 ? 2 : 1;
    static constexpr int pieces = mine / piece_chunks;
    struct nothing {};
    template <class L, bool Some = (L::at_once > 0)>
    struct kept_of {
        using type = nothing;
    };
    template <class L>
    struct kept_of<L, true> {
        using type = typename L::from::template some<piece_chunks * 8>;
    };
    using kept = typename kept_of<Lines>::type;

    /// Begins to bring a tile; `finish` completes it. `aligned` is the operand's `is_aligned`.
    __device__ static void start(T* tile, Lines const& l, int first_across, int first_depth, bool aligned,
                                 float const* table, kept (&k)[pieces]) {
        auto const from = origin_of(first_across, first_depth);
        if constexpr (Lines::at_once > 0) {
#pragma unroll
            for (int j = 0; j < pieces; ++j) {
                auto const p = mine_at(j * piece_chunks);
                int const line = from.line + p.line, i = from.element + p.chunk * 8;
                if (line < l.lines && i < Lines::length)
                    Lines::from::read(k[j], l.stored, line * Lines::length + i);
            }
        } else if (Lines::copies && aligned) {
            if constexpr (Lines::copies) {
#pragma unroll
                for (int j = 0; j < mine; ++j) {
                    auto const p = mine_at(j);
                    int const line = from.line + p.line, i = from.element + p.chunk * 8;
                    auto const* const source =
                        line < l.lines && i < Lines::length ? l.chunk(line, i) : nullptr;
                    copy_async_16(tile + offset(p.line, p.chunk), source ? source : l.data,
                                  source != nullptr);
                }
            }
        } else {
            one_by_one(tile, l, from, table);
        }
    }

    __device__ static void finish(T* tile, Lines const& l, int first_across, int first_depth,
                                  float const* table, kept const (&k)[pieces]) {
        if constexpr (Lines::at_once > 0) {
            auto const from = origin_of(first_across, first_depth);
#pragma unroll
            for (int j = 0; j < mine; ++j) {
                auto const p = mine_at(j);
                uint4 eight{0, 0, 0, 0};
                if (from.line + p.line < l.lines && from.element + p.chunk * 8 < Lines::length)
                    eight = eight_rounded_to<T, typename Lines::from>(k[j / piece_chunks],
                                                                      j % piece_chunks * 8, table);
                *reinterpret_cast<uint4*>(tile + offset(p.line, p.chunk)) = eight;
            }
        }
    }

  private:
    __device__ static void one_by_one(T* tile, Lines const& l, origin from, float const* table) {
#pragma unroll 1
        for (int j = 0; j < mine; ++j) {
            auto const p = mine_at(j);
            int const line = from.line + p.line, first = from.element + p.chunk * 8;
            T* const to = tile + offset(p.line, p.chunk);
#pragma unroll 1
            for (int i = 0; i < 8; ++i) {
                bool const inside = line < l.lines && first + i < Lines::length;
                to[i] = inside ? converted(l.value(line, first + i, table)) : T::from_bits(0);
            }
        }
    }
    __device__ static T converted(T value) { return value; }
    __device__ static T converted(float value) requires(!std::is_same_v<typename Lines::element, T>) {
        return rounded_to<T>(value);
    }
};

/// Fragments of 16 x 16 elements of the left operand, from row `row` and depth `k` of its tile.
template <class Tile, class T, class Lines>
__device__ __forceinline__ void load_left(std::uint32_t (&r)[4], T const* tile, int row, int k,
                                          Lines const*) {
    int const lane = static_cast<int>(threadIdx.x) % 32;
    if constexpr (Lines::along_depth)
        load_matrices(r, tile + Tile::offset(row + lane % 16, k / 8 + lane / 16));
    else
        load_matrices_transposed(r,
                                 tile + Tile::offset(k + lane % 8 + lane / 16 * 8, row / 8 + lane / 8 % 2));
}

/// Fragments of 16 (depth) x 16 (columns) elements of the right operand: two neighbours of 8 columns.
template <class Tile, class T, class Lines>
__device__ __forceinline__ void load_right(std::uint32_t (&low)[2], std::uint32_t (&high)[2], T const* tile,
                                           int column, int k, Lines const*) {
    int const lane = static_cast<int>(threadIdx.x) % 32;
    std::uint32_t r[4];
    if constexpr (Lines::along_depth)
        load_matrices(r, tile + Tile::offset(column + lane % 8 + lane / 16 * 8, k / 8 + lane / 8 % 2));
    else load_matrices_transposed(r, tile + Tile::offset(k + lane % 16, column / 8 + lane / 16));
    low[0] = r[0], low[1] = r[1], high[0] = r[2], high[1] = r[3];
}

/// Registers of a warp's 64 x 32 sums.
using tensor_sums = float[4][4][4];

template <class T, class Tiling, class Left, class Right>
__device__ __forceinline__ void tensor_accumulate(tensor_sums& sums, factors<Left, Right> const& f, int row,
                                                  int column, T* shared, float* table) {
    using a_tile = tensor_tile<T, Left, Tiling::rows, Tiling::threads>;
    using b_tile = tensor_tile<T, Right, Tiling::columns, Tiling::threads>;
    constexpr int stages = Tiling::stages;
    // Whole steps of the depth; what lies outside the operands comes as zeros.
    int const begin = static_cast<int>(f.b.first_depth(column, column + Tiling::columns)) / Tiling::depth;
    int const end = (static_cast<int>(f.b.end_depth(column, column + Tiling::columns)) + Tiling::depth - 1) /
                    Tiling::depth;
    __syncthreads();
    if constexpr (Right::table_size > 0) {
        copy_table(f.b, table, static_cast<int>(threadIdx.x), Tiling::threads);
        __syncthreads();
    }
    bool a_aligned = false, b_aligned = false;
    if constexpr (Left::copies) a_aligned = f.a.is_aligned();
    if constexpr (Right::copies) b_aligned = f.b.is_aligned();
    typename a_tile::kept a_kept[a_tile::pieces];
    typename b_tile::kept b_kept[b_tile::pieces];
    auto const a_at = [&](int stage) { return shared + stage * Tiling::stage_elements; };
    auto const b_at = [&](int stage) { return a_at(stage) + Tiling::rows * Tiling::depth; };
    auto const start = [&](int stage, int step) {
        a_tile::start(a_at(stage), f.a, row, step * Tiling::depth, a_aligned, nullptr, a_kept);
        b_tile::start(b_at(stage), f.b, column, step * Tiling::depth, b_aligned, table, b_kept);
    };
    auto const finish = [&](int stage, int step) {
        b_tile::finish(b_at(stage), f.b, column, step * Tiling::depth, table, b_kept);
    };
    int const warp = static_cast<int>(threadIdx.x) / 32;
    int const warp_row = warp % (Tiling::rows / Tiling::warp_rows) * Tiling::warp_rows;
    int const warp_column = warp / (Tiling::rows / Tiling::warp_rows) * Tiling::warp_columns;

#pragma unroll 1
    for (int s = 0; s < stages - 1; ++s) {
        if (begin + s < end) {
            start(s, begin + s);
            finish(s, begin + s);
        }
        commit_copies();
    }
    int stage = 0;
#pragma unroll 1
    for (int step = begin; step < end; ++step) {
        wait_copies<stages - 2>();
        __syncthreads();
        int const next = step + stages - 1;
        int const next_stage = stage == 0 ? stages - 1 : stage - 1;
        if (next < end) start(next_stage, next);
        commit_copies();
#pragma unroll
        for (int k = 0; k < Tiling::depth; k += 16) {
            std::uint32_t a[4][4], b[4][2];
#pragma unroll
            for (int i = 0; i < 4; ++i)
                load_left<a_tile>(a[i], a_at(stage), warp_row + i * 16, k, static_cast<Left const*>(nullptr));
#pragma unroll
            for (int j = 0; j < 4; j += 2)
                load_right<b_tile>(b[j], b[j + 1], b_at(stage), warp_column + j * 8, k,
                                   static_cast<Right const*>(nullptr));
#pragma unroll
            for (int i = 0; i < 4; ++i)
#pragma unroll
                for (int j = 0; j < 4; ++j) multiply_16x8x16<T>(sums[i][j], a[i], b[j]);
        }
        if (next < end) finish(next_stage, next);
        stage = stage == stages - 1 ? 0 : stage + 1;
    }
    wait_copies<0>();
}

/// Rows of 32 results at a time, so that neighbouring lanes store neighbouring columns.
template <class Tiling, class Store>
__device__ __forceinline__ void tensor_store(tensor_sums const& sums, float* shared, index_t row,
                                             index_t column, index_t rows, index_t columns,
                                             Store const& store) {
    int const warp = static_cast<int>(threadIdx.x) / 32, lane = static_cast<int>(threadIdx.x) % 32;
    float* const mine = shared + warp * 16 * Tiling::result_row;
    index_t const first_row = row + warp % (Tiling::rows / Tiling::warp_rows) * Tiling::warp_rows;
    index_t const my_column =
        column + warp / (Tiling::rows / Tiling::warp_rows) * Tiling::warp_columns + lane;
#pragma unroll
    for (int i = 0; i < 4; ++i) {
        __syncwarp();
#pragma unroll
        for (int j = 0; j < 4; ++j) {
            float* const to = mine + lane / 4 * Tiling::result_row + j * 8 + lane % 4 * 2;
            to[0] = sums[i][j][0], to[1] = sums[i][j][1];
            to[8 * Tiling::result_row] = sums[i][j][2], to[8 * Tiling::result_row + 1] = sums[i][j][3];
        }
        __syncwarp();
#pragma unroll
        for (int r = 0; r < 16; ++r) {
            index_t const my_row = first_row + i * 16 + r;
            if (my_row < rows && my_column < columns)
                store(my_row, my_column, mine[r * Tiling::result_row + lane]);
        }
    }
}

template <class T, class Tiling, class Store, class... Factors>
__global__ void __launch_bounds__(Tiling::threads, Tiling::blocks_per_processor)
    tensor_gemm(int tile_rows, int tile_columns, index_t rows, index_t columns, Store store, Factors... f) {
    auto* const shared = dynamic_shared();
    auto* const table =
        reinterpret_cast<float*>(shared + std::max(Tiling::stage_bytes, Tiling::result_bytes));
    auto const place = place_of_tile(static_cast<int>(blockIdx.x), tile_rows, tile_columns);
    int const row = place.row * Tiling::rows, column = place.column * Tiling::columns;
    tensor_sums sums = {};
    (tensor_accumulate<T, Tiling>(sums, f, row, column, reinterpret_cast<T*>(shared), table), ...);
    __syncthreads();
    tensor_store<Tiling>(sums, reinterpret_cast<float*>(shared), row, column, rows, columns, store);
}

}  // namespace snug::SNUG_TARGET::backend::cuda::detail
