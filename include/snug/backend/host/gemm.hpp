// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include <snug/backend/host/gemm_kernel.hpp>
#include <snug/backend/host/gemm_packing.hpp>
#include <snug/backend/host/gemm_sizes.hpp>
#include <snug/backend/host/parallel.hpp>

/// The matrix product of the host, C = A B with A [m, k] and B [k, n], after Goto and van de Geijn, "Anatomy
/// of High-Performance Matrix Multiplication" (ACM TOMS 34(3), 2008): panels of B packed for the cache, a
/// register-blocked micro-kernel, and an epilogue instead of a stored C.
///
/// Element types `float`, `double` and `bf16`, mixed at will. Two `bf16` operands are multiplied in `bf16`
/// and summed in `float`; anything else is widened to `float` (to `double` when one operand is `double`)
/// while it is packed.
///
/// The sum of one element runs over k in chunks of a fixed length: products of a chunk in order of k, then
/// chunks in order. It depends on nothing else, so neither the thread count nor the rows computed together
/// change a bit.
///
/// Nothing here allocates. `scratch` is aligned to 64 bytes.
namespace snug::SNUG_TARGET::backend::host {

/// The type of the finished sums that an epilogue receives.
template <class A, class B = A>
using accumulator_of = typename detail::arithmetic_for<A, B>::accumulator;

/// What is done with the finished sums of a row of a tile: f(i, j, count, sums) for row i, columns [j, j +
/// count). By its address: beside the products of a row a call costs nothing, and all products of one type of
/// elements share their code, whatever they do with their sums. Refers to `f`.
template <class Sum>
class epilogue {
  public:
    template <class F>
    epilogue(F const& f)
        : function_(&f),
          call_([](void const* function, std::int64_t i, std::int64_t j, std::int64_t count,
                   Sum const* sums) { (*static_cast<F const*>(function))(i, j, count, sums); }) {}

    void operator()(std::int64_t i, std::int64_t j, std::int64_t count, Sum const* sums) const {
        call_(function_, i, j, count, sums);
    }

  private:
    void const* function_;
    void (*call_)(void const*, std::int64_t, std::int64_t, std::int64_t, Sum const*);
};

/// A [m, k] and B [k, n], to be multiplied.
template <class A, class Right>
struct factors {
    using arithmetic = detail::arithmetic_for<A, typename Right::element>;
    operand<A> a;
    Right b;
    std::int64_t k;

    /// The same product as one slot of a parallel loop works on it.
    factors in(int slot) const {
        if constexpr (requires { b.in(slot); }) return {a, b.in(slot), k};
        else return *this;
    }
};

namespace detail {

static_assert(blocking::widest_panel % panel_columns<plain_arithmetic<float>> == 0);

/// Elements of k in a chunk.
template <class Arithmetic>
inline constexpr std::int64_t chunk_length = blocking::chunk_units* Arithmetic::depth;

template <class Arithmetic>
constexpr tile_layout layout_of(tile_limits limits, std::int64_t n, std::int64_t k) {
    static_assert(sizeof(typename Arithmetic::unit) == sizeof(typename Arithmetic::accumulator));
    return layout_of(limits, n, k, sizeof(typename Arithmetic::unit));
}

/// A range of rows or columns.
struct range {
    std::int64_t first;
    std::int64_t count;
};

template <class Arithmetic>
struct tile_scratch {
    typename Arithmetic::unit* packed;
    typename Arithmetic::accumulator* sums;
    typename Arithmetic::unit* left;
    std::int64_t sum_row;

    tile_scratch(tile_limits limits, std::int64_t n, std::int64_t k, std::byte* scratch) {
        auto const layout = layout_of<Arithmetic>(limits, n, k);
        packed = reinterpret_cast<typename Arithmetic::unit*>(scratch);
        sums = reinterpret_cast<typename Arithmetic::accumulator*>(scratch + layout.sums);
        left = reinterpret_cast<typename Arithmetic::unit*>(scratch + layout.left);
        sum_row = sum_row_elements(round_up(n, panel_columns<Arithmetic>));
    }
};

/// Adds the products of one chunk of k to the sums of one block of rows. `rows.first` counts from A's first
/// row, `tile_row` from the first row of the tile; B is packed on the way when the block is the tile's first.
/// The `first` chunk finds nothing to add to.
template <class Arithmetic, class A, class Right>
[[gnu::noinline]] void multiply_block(operand<A> const& a, Right const& b, range rows, range columns, range k,
                                      std::int64_t tile_row, bool keep_packed, bool first,
                                      tile_scratch<Arithmetic> const& scratch) {
    constexpr std::int64_t panel = panel_columns<Arithmetic>;
    std::int64_t const units = units_for<Arithmetic>(k.count);
    auto const left = prepare_left<Arithmetic>(a, rows.first, rows.count, k.first, k.count, scratch.left);
    auto* const sums = scratch.sums + tile_row * scratch.sum_row;
    for (std::int64_t j = 0; j < columns.count; j += panel) {
        auto* const packed = scratch.packed + (keep_packed ? j * units : 0);
        if (tile_row == 0) {
            pack_right<Arithmetic>(b, k.first, k.count, columns.first + j, std::min(panel, columns.count - j),
                                   packed);
        }
        multiply_panel<Arithmetic>(left, rows.count, units, packed, sums + j, scratch.sum_row, !first);
    }
}

/// The part of k that matters to these columns: all of it, but for a block-diagonal B that is one chunk long.
/// (A longer one keeps its chunks where they are: they are what the bits of a sum depend on.)
template <class Arithmetic, class A, class Right>
range depth_of(factors<A, Right> const& product, range columns) {
    if constexpr (requires { product.b.first_row(columns.first); })
        if (product.k <= chunk_length<Arithmetic>) {
            std::int64_t const begin =
                product.b.first_row(columns.first) / Arithmetic::depth * Arithmetic::depth;
            std::int64_t const end =
                round_up(product.b.end_row(columns.first + columns.count), Arithmetic::depth);
            return {begin, std::min(end, product.k) - begin};
        }
    return {0, product.k};
}

/// Adds A B to the sums of a tile, chunk by chunk of k; `finish` is called for every block of rows after the
/// last chunk.
template <class Arithmetic, class A, class Right, class Finish>
void add_product(factors<A, Right> const& product, range rows, range columns, bool keep_packed, bool is_first,
                 tile_scratch<Arithmetic> const& scratch, Finish const& finish) {
    range const depth = depth_of<Arithmetic>(product, columns);
    std::int64_t k0 = 0;
    do {
        range const chunk = {depth.first + k0, std::min(chunk_length<Arithmetic>, depth.count - k0)};
        for (std::int64_t i0 = 0; i0 < rows.count; i0 += blocking::block_rows) {
            range const block = {rows.first + i0, std::min(blocking::block_rows, rows.count - i0)};
            if (chunk.count > 0)
                multiply_block<Arithmetic>(product.a, product.b, block, columns, chunk, i0, keep_packed,
                                           is_first && k0 == 0, scratch);
            if (k0 + chunk.count >= depth.count) finish(block, i0);
        }
        k0 += chunk.count;
    } while (k0 < depth.count);
}

/// Computes and hands over the tile `rows` x `columns` of the sum of all products, which is within `limits`.
template <class Arithmetic, class... Products>
void multiply_tile(range rows, range columns, tile_limits limits, std::byte* memory,
                   epilogue<typename Arithmetic::accumulator> const& finish, Products const&... products) {
    tile_scratch<Arithmetic> const scratch(limits, columns.count, std::max({products.k...}), memory);
    bool const keep_packed = limits.rows > blocking::block_rows;
    std::size_t done = 0;
    auto const hand_over = [&](range block, std::int64_t tile_row) {
        if (done + 1 < sizeof...(Products)) return;
        for (std::int64_t i = 0; i < block.count; ++i)
            finish(block.first + i, columns.first, columns.count,
                   scratch.sums + (tile_row + i) * scratch.sum_row);
    };
    ((add_product<Arithmetic>(products, rows, columns, keep_packed, done == 0, scratch, hand_over), ++done),
     ...);
}

/// Part `index` of `parts` near-equal parts of [0, size), cut at multiples of `step`. May be empty.
constexpr range part_of(std::int64_t size, std::int64_t step, std::int64_t parts, std::int64_t index) {
    std::int64_t const steps = (size + step - 1) / step;
    std::int64_t const begin = std::min(size, steps * index / parts * step);
    std::int64_t const end = std::min(size, steps * (index + 1) / parts * step);
    return {begin, end - begin};
}

/// Parts that `part_of` needs to keep each within `limit`, a multiple of `step`.
constexpr std::int64_t parts_within(std::int64_t size, std::int64_t limit) {
    return (size + limit - 1) / limit;
}

struct grid {
    std::int64_t row_parts;
    std::int64_t column_parts;
};

/// Cuts C into tiles within `limits`, so that `threads` threads with equal numbers of tiles finish earliest.
template <class Arithmetic>
constexpr grid choose_grid(std::int64_t m, std::int64_t n, std::int64_t threads, tile_limits limits) {
    // Packing one element costs about as much as this many multiply-adds of it.
    constexpr std::int64_t packing = 12;
    std::int64_t const least_rows = parts_within(m, limits.rows / kernel_rows * kernel_rows);
    std::int64_t const least_columns = parts_within(n, limits.columns);
    grid best{};
    std::int64_t best_cost = 0;
    for (std::int64_t r = least_rows; r <= least_rows + threads; ++r) {
        std::int64_t const c = (round_up(least_columns * r, threads) + r - 1) / r;
        std::int64_t const tile_rows = round_up((m + r - 1) / r, kernel_rows);
        std::int64_t const tile_columns = round_up((n + c - 1) / c, panel_columns<Arithmetic>);
        std::int64_t const cost =
            (r * c + threads - 1) / threads * (tile_rows + packing) * (tile_columns + packing);
        if (best.row_parts == 0 || cost < best_cost) {
            best = {r, c};
            best_cost = cost;
        }
    }
    return best;
}

}  // namespace detail

/// A [m, k] times B [k, n] on the calling thread; m, n, k >= 1. `finish` gets the finished sums, once for
/// every element, in no promised order. `scratch`: gemm_serial_scratch_bytes<A, B>(n, k) bytes.
template <class A, class Right>
void gemm_serial(std::int64_t m, std::int64_t n, std::int64_t k, operand<A> a, Right b, std::byte* scratch,
                 epilogue<accumulator_of<A, typename Right::element>> const& finish) {
    using arithmetic = detail::arithmetic_for<A, typename Right::element>;
    constexpr auto limits = detail::blocking::serial;
    std::int64_t const row_parts = detail::parts_within(m, limits.rows);
    std::int64_t const column_parts = detail::parts_within(n, limits.columns);
    for (std::int64_t i = 0; i < row_parts; ++i) {
        for (std::int64_t j = 0; j < column_parts; ++j) {
            detail::multiply_tile<arithmetic>(
                detail::part_of(m, detail::kernel_rows, row_parts, i),
                detail::part_of(n, detail::panel_columns<arithmetic>, column_parts, j), limits, scratch,
                finish, factors<A, Right>{a, b, k});
        }
    }
}

/// The sum of one or several products of shape [m, n] on at most `threads` threads; one product has the bits
/// of `gemm_serial`. `finish` is called from several threads at once. `scratch`: gemm_scratch_bytes<A, B>(n,
/// longest k, threads) bytes.
template <class A, class Right, class... Further>
void gemm(int threads, std::int64_t m, std::int64_t n, std::byte* scratch,
          epilogue<accumulator_of<A, typename Right::element>> const& finish, factors<A, Right> const& first,
          Further const&... further) {
    using arithmetic = detail::arithmetic_for<A, typename Right::element>;
    static_assert((std::is_same_v<arithmetic, typename Further::arithmetic> && ...),
                  "snug: products that are added up must be computed in the same type");
    using block = detail::blocking;
    auto const limits = first.a.column_stride == 1 ? block::parallel : block::parallel_packing;
    // Every thread packs for itself: a shared packed B would cost two barriers per strip, and on a machine
    // with other work to do a barrier waits for the slowest thread.
    auto const parts = detail::choose_grid<arithmetic>(m, n, thread_count(threads), limits);
    std::int64_t const bytes =
        detail::layout_of<arithmetic>(limits, n, std::max({first.k, further.k...})).total;
    parallel_for(threads, parts.row_parts * parts.column_parts, [&](std::int64_t tile, int slot) {
        // Neighbouring tiles share their part of the larger operand.
        std::int64_t const i = m > n ? tile / parts.column_parts : tile % parts.row_parts;
        std::int64_t const j = m > n ? tile % parts.column_parts : tile / parts.row_parts;
        auto const rows = detail::part_of(m, detail::kernel_rows, parts.row_parts, i);
        auto const columns = detail::part_of(n, detail::panel_columns<arithmetic>, parts.column_parts, j);
        if (rows.count > 0 && columns.count > 0) {
            detail::multiply_tile<arithmetic>(rows, columns, limits, scratch + slot * bytes, finish,
                                              first.in(slot), further.in(slot)...);
        }
    });
}

/// One product.
template <class A, class Right>
void gemm(int threads, std::int64_t m, std::int64_t n, std::int64_t k, operand<A> a, Right b,
          std::byte* scratch, epilogue<accumulator_of<A, typename Right::element>> const& finish) {
    gemm(threads, m, n, scratch, finish, factors<A, Right>{a, b, k});
}

}  // namespace snug::SNUG_TARGET::backend::host
