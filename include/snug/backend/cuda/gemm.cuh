// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <snug/backend/cuda/gemm_scalar.cuh>
#include <snug/backend/cuda/gemm_tensor.cuh>
#include <snug/backend/cuda/launch.cuh>
#include <tuple>
#include <type_traits>
#include <utility>

/// snug's own product: any number of products of any operands summed in registers, any store. The order of a sum depends on
/// the shape alone, so results are the same bits every time.
namespace snug::SNUG_TARGET::backend::cuda {

namespace detail {

/// Whether tensor cores do these products: left operands of one 16-bit type, right ones of the same or decoded to it.
template <class T, class Lines>
inline constexpr bool is_of = is_quantized<Lines> || std::is_same_v<typename Lines::element, T>;

template <class First, class... Further>
constexpr bool fits_tensor_cores() {
    using T = typename First::left::element;
    if constexpr (std::is_same_v<T, bf16> || std::is_same_v<T, fp16>)
        return is_of<T, typename First::right> &&
               ((is_of<T, typename Further::left> && is_of<T, typename Further::right>)&&...);
    else return false;
}

template <class First, class... Further>
constexpr bool has_double() {
    auto const one = []<class F>(F const*) {
        return std::is_same_v<typename F::left::element, double> ||
               std::is_same_v<typename F::right::element, double>;
    };
    return (one(static_cast<First const*>(nullptr)) || ... || one(static_cast<Further const*>(nullptr)));
}

constexpr index_t tiles(index_t length, index_t edge) { return (length + edge - 1) / edge; }

template <class T, class Tiling, class Store, class... Factors>
void launch_tensor(tag on, index_t rows, index_t columns, Store const& store, Factors const&... f) {
    auto const tile_rows = tiles(rows, Tiling::rows), tile_columns = tiles(columns, Tiling::columns);
    launch(on, &tensor_gemm<T, Tiling, Store, Factors...>,
           dim3(static_cast<unsigned>(tile_rows * tile_columns)), Tiling::threads,
           Tiling::shared_bytes(largest_table(static_cast<typename Factors::right const*>(nullptr)...)),
           static_cast<int>(tile_rows), static_cast<int>(tile_columns), rows, columns, store, f...);
}

/// Columns of a product where its types say how many, else 0.
template <class Right>
constexpr index_t known_columns() {
    return Right::along_depth ? Right::known_lines : Right::length;
}

/// Tiles of 64 columns where wider ones would compute more than an eighth for nothing.
constexpr bool prefers_narrow_tiles(index_t columns) {
    index_t const unused = tiles(columns, 128) * 128 - tiles(columns, 64) * 64;
    return unused * 8 > columns;
}

template <class Store, class... Factors>
void gemm(tag on, index_t rows, index_t columns, Store const& store, Factors const&... f) {
    if (rows == 0 || columns == 0) return;
    if constexpr (fits_tensor_cores<Factors...>()) {
        using first = std::tuple_element_t<0, std::tuple<Factors...>>;
        using T = typename first::left::element;
        constexpr index_t known = known_columns<typename first::right>();
        if constexpr (known > 0)
            launch_tensor<T, tensor_tiling<prefers_narrow_tiles(known) ? 64 : 128>>(on, rows, columns, store,
                                                                                    f...);
        else if (prefers_narrow_tiles(columns))
            launch_tensor<T, tensor_tiling<64>>(on, rows, columns, store, f...);
        else launch_tensor<T, tensor_tiling<128>>(on, rows, columns, store, f...);
    } else {
        using sum = std::conditional_t<has_double<Factors...>(), double, float>;
        using tiling = scalar_tiling<sum>;
        auto const tile_rows = tiles(rows, tiling::edge), tile_columns = tiles(columns, tiling::edge);
        launch(on, &scalar_gemm<sum, Store, Factors...>,
               dim3(static_cast<unsigned>(tile_rows * tile_columns)), tiling::threads, 0,
               static_cast<int>(tile_rows), static_cast<int>(tile_columns), rows, columns, store, f...);
    }
}

}  // namespace detail

/// store(row, column, value) for every element of the sum of the products, by snug's own kernels.
template <class Store, class A, class B, class... Further>
void own_matmul(tag on, Store const& store, product<A, B> first, Further... further) {
    auto const f = detail::as_factors(first);
    detail::gemm(on, detail::across(f.a), detail::across(f.b), store, f, detail::as_factors(further)...);
}

}  // namespace snug::SNUG_TARGET::backend::cuda
