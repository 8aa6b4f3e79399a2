// SPDX-License-Identifier: Apache-2.0
// Matrix products on a device, by snug's kernels and by cuBLASLt.
#pragma once

#include <catch2/catch.hpp>

#include <snug/backend/cuda/matmul.cuh>
#include <snug/precision/bf16.hpp>
#include <snug/precision/fp16.hpp>
#include <snug/quantization/schemes.hpp>

#include <array>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include "device_array.hpp"

namespace {

using snug::bf16;
using snug::fp16;
using snug::index_t;
using snug::matrix;
using snug::product;
using snug::transposed;
namespace cuda = snug::backend::cuda;
namespace q = snug::quantization;

constexpr auto at(index_t i) { return static_cast<std::size_t>(i); }

using snug_test::device_array;
using snug_test::on;

/// Products that the library did; of a GPU, nobody counts them.
#if defined(SNUG_CUDA_EMULATION)
inline std::int64_t library_products() {
    return static_cast<std::int64_t>(emulation::lt::counted().products);
}
#else
inline std::int64_t library_products() { return 0; }
#endif

/// Rows x columns in double.
struct dense {
    index_t rows, columns;
    std::vector<double> values;

    dense(index_t r, index_t c) : rows(r), columns(c), values(at(r * c)) {}
    double& operator()(index_t i, index_t j) { return values[at(i * columns + j)]; }
    double operator()(index_t i, index_t j) const { return values[at(i * columns + j)]; }
};

dense flipped(dense const& m) {
    dense result(m.columns, m.rows);
    for (index_t i = 0; i < m.rows; ++i)
        for (index_t j = 0; j < m.columns; ++j) result(j, i) = m(i, j);
    return result;
}

template <class T>
std::vector<T> random_numbers(index_t count, std::uint32_t seed) {
    std::minstd_rand random(seed);
    std::vector<T> result(at(count));
    for (auto& x : result) x = T(static_cast<float>(random() % 2048u) / 1024.0f - 1.0f);
    return result;
}

/// A random matrix on the device; what lies between its rows is NaN.
template <class T, index_t Width, index_t Stride = Width>
struct stored {
    index_t rows;
    dense numbers;
    device_array<T> memory;

    stored(index_t r, std::uint32_t seed, index_t offset = 0)
        : rows(r), numbers(r, Width), memory(fill(seed), offset) {}

    matrix<T const, Width, Stride> view() const { return {memory.data(), rows}; }

  private:
    std::vector<T> fill(std::uint32_t seed) {
        std::vector<T> result(at(rows * Stride), T(std::numeric_limits<float>::quiet_NaN()));
        auto const values = random_numbers<T>(rows * Width, seed);
        for (index_t i = 0; i < rows; ++i)
            for (index_t j = 0; j < Width; ++j) {
                result[at(i * Stride + j)] = values[at(i * Width + j)];
                numbers(i, j) = static_cast<double>(values[at(i * Width + j)]);
            }
        return result;
    }
};

/// A store that only snug's own kernels know: the sums themselves, and how often each was given.
template <class Sum, index_t Width>
struct recorded {
    Sum* sums;
    int* calls;

    template <class Value>
    constexpr void operator()(index_t row, index_t column, Value value) const {
        static_assert(std::is_same_v<Value, Sum>);
        sums[row * Width + column] = value;
        ++calls[row * Width + column];
    }
};

struct sums_and_magnitudes {
    dense sums, magnitudes;
};
sums_and_magnitudes multiplied(std::vector<std::pair<dense, dense>> const& factors) {
    auto const m = factors[0].first.rows, n = factors[0].second.columns;
    sums_and_magnitudes result{dense(m, n), dense(m, n)};
    for (auto const& [a, b] : factors) {
        REQUIRE(a.columns == b.rows);
        for (index_t i = 0; i < m; ++i)
            for (index_t j = 0; j < n; ++j)
                for (index_t k = 0; k < a.columns; ++k) {
                    result.sums(i, j) += a(i, k) * b(k, j);
                    result.magnitudes(i, j) += std::abs(a(i, k) * b(k, j));
                }
    }
    return result;
}

index_t depth_of(std::vector<std::pair<dense, dense>> const& factors) {
    index_t result = 0;
    for (auto const& f : factors) result += f.first.columns;
    return result;
}

/// How far `got` is from the sums, in units of the bound of a sum in any order plus one rounding to a number of `epsilon`.
template <class T>
double worst_error(std::vector<T> const& got, index_t stride, sums_and_magnitudes const& expected,
                   index_t depth, double sum_epsilon, double epsilon) {
    double worst = 0;
    for (index_t i = 0; i < expected.sums.rows; ++i)
        for (index_t j = 0; j < expected.sums.columns; ++j) {
            auto const value = static_cast<double>(got[at(i * stride + j)]);
            double const exact = expected.sums(i, j), size = expected.magnitudes(i, j);
            double const bound =
                static_cast<double>(depth + 2) * sum_epsilon * size + epsilon * std::abs(exact) + 1e-30;
            double const error = std::abs(value - exact) / bound;
            worst = error <= worst ? worst : error;  // a NaN replaces it
        }
    return worst;
}

template <class T>
constexpr double epsilon_of = std::is_same_v<T, bf16>    ? 0x1p-8
                              : std::is_same_v<T, fp16>  ? 0x1p-11
                              : std::is_same_v<T, float> ? 0x1p-24
                                                         : 0x1p-53;

/// The stand-in gets only as much as it uses: a whole one would make every call slow there.
device_array<std::byte> const& workspace() {
    static device_array<std::byte> const only(
        std::vector<std::byte>(snug_test::is_emulated ? std::size_t{20 * 1024} : at(cuda::library_workspace)),
        64);
    return only;
}

/// Products by snug's own kernels, checked against the sums in double, twice.
template <class Sum, index_t Rows, index_t Columns, class... Products>
std::vector<Sum> check_own(std::vector<std::pair<dense, dense>> const& factors, Products... products) {
    std::vector<Sum> first;
    for (int run = 0; run < 2; ++run) {
        device_array<Sum> const sums(
            std::vector<Sum>(at(Rows * Columns), std::numeric_limits<Sum>::quiet_NaN()));
        device_array<int> const calls(std::vector<int>(at(Rows * Columns), 0));
        cuda::matmul_on(on(), nullptr, recorded<Sum, Columns>{sums.data(), calls.data()}, products...);
        auto const counts = calls.values();
        REQUIRE(std::all_of(counts.begin(), counts.end(), [](int c) { return c == 1; }));
        auto const values = sums.values();
        if (run == 0) first = values;
        REQUIRE(std::memcmp(values.data(), first.data(), values.size() * sizeof(Sum)) == 0);
    }
    auto const expected = multiplied(factors);
    REQUIRE(worst_error(first, Columns, expected, depth_of(factors), epsilon_of<Sum> * 2, 0) <= 1.0);
    return first;
}

template <class A, class B, index_t M, index_t N, index_t K, index_t Pad, index_t Offset = 0>
void check_plain() {
    CAPTURE(M, N, K, Pad, Offset);
    using sum = std::conditional_t<std::is_same_v<A, double> || std::is_same_v<B, double>, double, float>;
    stored<A, K, K + Pad> const a(M, 1, Offset);
    stored<A, M, M + Pad> const at_(K, 2, Offset);
    stored<B, N, N + Pad> const b(K, 3, Offset);
    stored<B, K, K + Pad> const bt(N, 4, Offset);
    check_own<sum, M, N>({{a.numbers, b.numbers}}, product{a.view(), b.view()});
    check_own<sum, M, N>({{a.numbers, flipped(bt.numbers)}}, product{a.view(), transposed{bt.view()}});
    check_own<sum, M, N>({{flipped(at_.numbers), b.numbers}}, product{transposed{at_.view()}, b.view()});
    check_own<sum, M, N>({{flipped(at_.numbers), flipped(bt.numbers)}},
                         product{transposed{at_.view()}, transposed{bt.view()}});
}

/// A result's memory: `rows` x Width with a stride, before and after.
template <class T, index_t Width, index_t Stride>
struct result_memory {
    index_t rows;
    std::vector<T> before;
    device_array<T> memory;

    result_memory(index_t r, bool holds_numbers, index_t offset = 0)
        : rows(r),
          before(holds_numbers ? random_numbers<T>(r * Stride, 77)
                               : std::vector<T>(at(r * Stride), T(std::numeric_limits<float>::quiet_NaN()))),
          memory(before, offset) {}

    matrix<T, Width, Stride> view() const { return {memory.data(), rows}; }
    dense numbers_before() const {
        dense result(rows, Width);
        for (index_t i = 0; i < rows; ++i)
            for (index_t j = 0; j < Width; ++j)
                result(i, j) = static_cast<double>(before[at(i * Stride + j)]);
        return result;
    }
    /// What lies between the rows must not change.
    void check_gaps(std::vector<T> const& after) const {
        bool same = true;
        for (index_t i = 0; i < rows; ++i)
            for (index_t j = Width; j < Stride; ++j)
                same = same &&
                       std::memcmp(&after[at(i * Stride + j)], &before[at(i * Stride + j)], sizeof(T)) == 0;
        REQUIRE(same);
    }
};

void add(sums_and_magnitudes& to, dense const& more, bool is_row = false) {
    for (index_t i = 0; i < to.sums.rows; ++i)
        for (index_t j = 0; j < to.sums.columns; ++j) {
            double const x = more(is_row ? 0 : i, j);
            to.sums(i, j) += x;
            to.magnitudes(i, j) += std::abs(x);
        }
}

/// For some types and widths the library has no bias: there snug's own kernel does the whole product.
template <class T, index_t Width>
constexpr bool library_has_bias = !std::is_same_v<T, double> && (sizeof(T) > 2 || Width % 8 == 0);

template <class T>
constexpr double sum_epsilon = std::is_same_v<T, double> ? 0x1p-52 : 0x1p-23;

/// Allows sums an error of their own, of so much for each of them.
template <class T>
void allow(sums_and_magnitudes& sums, index_t depth, auto const& error) {
    for (std::size_t i = 0; i < sums.sums.values.size(); ++i)
        sums.magnitudes.values[i] += error(i) / (static_cast<double>(depth + 2) * sum_epsilon<T>);
}

/// Every store of one product, twice; `multiply(store)` does it, with so many products of the library where that does it.
template <class R, index_t M, index_t N, index_t Pad, class Multiply>
void check_stores(dense const& a_numbers, dense const& b_numbers, Multiply const& multiply,
                  std::int64_t by_library, std::int64_t with_bias_by_library, index_t offset = 0) {
    CAPTURE(M, N, Pad, offset);
    auto const base_sums = multiplied({{a_numbers, b_numbers}});
    auto const depth = a_numbers.columns;
    stored<R, N> const base(M, 9, offset);
    stored<R, N> const bias(1, 10, offset);
    auto const check = [&]<index_t Stride>(bool holds_numbers, auto const& expected, auto const& make,
                                           std::int64_t in_library) {
        std::vector<R> first;
        for (int run = 0; run < 2; ++run) {
            result_memory<R, N, Stride> const result(M, holds_numbers, offset);
            auto const products = library_products();
            multiply(make(result.view()));
            REQUIRE(library_products() - products == (snug_test::is_emulated ? in_library : 0));
            auto const after = result.memory.values();
            result.check_gaps(after);
            REQUIRE(worst_error(after, Stride, expected, depth, sum_epsilon<R>, epsilon_of<R> * 1.01) <= 1.0);
            if (run == 0) first = after;
            REQUIRE(std::memcmp(after.data(), first.data(), after.size() * sizeof(R)) == 0);
        }
    };
    auto plus_base = base_sums, plus_bias = base_sums, plus_both = base_sums, plus_old = base_sums;
    add(plus_base, base.numbers);
    add(plus_bias, bias.numbers, true);
    // The library may round to the type of the result before it adds the bias.
    auto const rounding = [](sums_and_magnitudes const& of) {
        return [&](std::size_t i) { return epsilon_of<R> * std::abs(of.sums.values[i]); };
    };
    allow<R>(plus_bias, depth, rounding(base_sums));
    allow<R>(plus_both, depth, rounding(plus_base));
    add(plus_both, base.numbers);
    add(plus_both, bias.numbers, true);
    add(plus_old, result_memory<R, N, N + Pad>(M, true).numbers_before());
    auto scaled_sums = base_sums;
    for (auto& value : scaled_sums.sums.values) value *= 0.375;
    check.template operator()<N + Pad>(
        false, base_sums, [](auto to) { return snug::written<R, N, N + Pad>{to}; }, by_library);
    check.template operator()<N>(
        false, plus_base,
        [&](auto to) {
            return snug::added<R, N>{to, base.view()};
        },
        by_library);
    check.template operator()<N + Pad>(
        true, plus_old, [](auto to) { return snug::accumulated<R, N, N + Pad>{to}; }, by_library);
    check.template operator()<N + Pad>(
        false, plus_bias,
        [&](auto to) {
            return snug::with_bias<snug::written<R, N, N + Pad>, R>{{to}, bias.memory.data()};
        },
        with_bias_by_library);
    check.template operator()<N + Pad>(
        false, scaled_sums,
        [](auto to) {
            return snug::scaled{snug::written<R, N, N + Pad>{to}, 0.375};
        },
        by_library);
    check.template operator()<N>(
        false, plus_base,
        [&](auto to) {
            return snug::with_addend<snug::written<R, N>, R>{{to}, base.view()};
        },
        by_library);
    check.template operator()<N>(
        false, plus_both,
        [&](auto to) {
            return snug::with_bias<snug::added<R, N>, R const>{{to, base.view()}, bias.memory.data()};
        },
        with_bias_by_library);
}

template <class T, class R, index_t M, index_t N, index_t K, index_t Pad>
void check_library(index_t offset = 0) {
    stored<T, K, K + Pad> const a(M, 1, offset);
    stored<T, M, M + Pad> const at_(K, 2, offset);
    stored<T, N, N + Pad> const b(K, 3, offset);
    stored<T, K, K + Pad> const bt(N, 4, offset);
    auto const check = [&](dense const& a_numbers, dense const& b_numbers, auto p) {
        check_stores<R, M, N, Pad>(
            a_numbers, b_numbers,
            [&](auto const& store) { cuda::matmul_on(on(), workspace().data(), store, p); }, 1,
            library_has_bias<R, N> ? 1 : 0, offset);
    };
    check(a.numbers, b.numbers, product{a.view(), b.view()});
    check(a.numbers, flipped(bt.numbers), product{a.view(), transposed{bt.view()}});
    check(flipped(at_.numbers), b.numbers, product{transposed{at_.view()}, b.view()});
    check(flipped(at_.numbers), flipped(bt.numbers), product{transposed{at_.view()}, transposed{bt.view()}});
}

/// A quantized matrix on the device, and its numbers as the host decodes them.
template <class Scheme, index_t Rows, index_t Width>
struct quantized {
    std::vector<float> as_float;
    std::vector<bf16> as_bf16;
    dense numbers{Rows, Width}, rounded{Rows, Width};

    explicit quantized(std::uint32_t seed) : memory_(at(size)) {
        auto values = random_numbers<float>(Rows * Width, seed);
        for (index_t i = 0; i < Rows * Width; i += 7) values[at(i)] *= 0.01f;  // blocks of unequal sizes
        for (index_t i = 5; i < Rows * Width; i += 97) values[at(i)] *= 9.0f;
        q::quantized_array<Scheme> const host(values, q::shape{Rows, Width});
        as_float = host.template decoded<float>();
        as_bf16 = host.template decoded<bf16>();
        for (index_t i = 0; i < Rows * Width; ++i) {
            numbers.values[at(i)] = double{as_float[at(i)]};
            rounded.values[at(i)] = static_cast<double>(as_bf16[at(i)]);
        }
        memory_.assign(host.region());
    }
    snug::quantized_matrix<Scheme, Rows, Width> view() const {
        return {Scheme::view_of(memory_.data(), q::shape{Rows, Width})};
    }

  private:
    static constexpr index_t size = Scheme::storage(q::shape{Rows, Width}).count;
    device_array<std::byte> memory_;
};

template <class T, index_t Width>
struct identity {
    device_array<T> memory{[] {
        std::vector<T> result(at(Width * Width), T(0.0f));
        for (index_t i = 0; i < Width; ++i) result[at(i * Width + i)] = T(1.0f);
        return result;
    }()};
    matrix<T const, Width> view() const { return {memory.data(), Width}; }
};

dense dense_identity(index_t n) {
    dense result(n, n);
    for (index_t i = 0; i < n; ++i) result(i, i) = 1;
    return result;
}

/// The identity times a quantized matrix is what the host decodes, to the bit.
template <class Scheme, index_t Rows, index_t Width, bool Everything = false>
void check_quantized() {
    CAPTURE(q::name_of<Scheme>(), Rows, Width);
    quantized<Scheme, Rows, Width> const w(21);
    auto const as_numbers = [](auto const& values) {
        std::vector<float> result;
        for (auto const x : values) result.push_back(static_cast<float>(x));
        return result;
    };
    auto const turned = [](std::vector<float> const& values) {
        std::vector<float> result(values.size());
        for (index_t i = 0; i < Rows; ++i)
            for (index_t j = 0; j < Width; ++j) result[at(j * Rows + i)] = values[at(i * Width + j)];
        return result;
    };
    auto const check = [&]<class T>(T, dense const& numbers, std::vector<float> const& decoded) {
        identity<T, Rows> const left;
        identity<T, Width> const wide;
        REQUIRE(check_own<float, Rows, Width>({{dense_identity(Rows), numbers}},
                                              product{left.view(), w.view()}) == decoded);
        REQUIRE(check_own<float, Width, Rows>({{dense_identity(Width), flipped(numbers)}},
                                              product{wide.view(), transposed{w.view()}}) == turned(decoded));
    };
    check(bf16{}, w.rounded, as_numbers(w.as_bf16));
    if constexpr (Everything) {
        check(float{}, w.numbers, w.as_float);
        std::vector<float> halves;
        dense half_numbers(Rows, Width);
        for (std::size_t i = 0; i < w.as_float.size(); ++i) {
            halves.push_back(static_cast<float>(fp16(w.as_float[i])));
            half_numbers.values[i] = double{halves.back()};
        }
        check(fp16{}, half_numbers, halves);
    }
}

/// A scheme that snug does not know: a code is a signed byte of sixteenths.
struct sixteenths {
    using axis = snug::axis::quantization;
    struct view {
        std::int8_t const* codes;
    };
    static constexpr snug::bytes storage(q::shape extent) { return {extent.count()}; }
    static view view_of(std::byte const* region, q::shape) {
        return {reinterpret_cast<std::int8_t const*>(region)};
    }
    template <class Loop>
    static void encode(std::span<float const> values, q::shape, std::byte* region, Loop const&) {
        for (std::size_t i = 0; i < values.size(); ++i)
            reinterpret_cast<std::int8_t*>(region)[i] = static_cast<std::int8_t>(std::rint(values[i] * 8));
    }
    static constexpr float value(view const& stored, index_t i) {
        return static_cast<float>(stored.codes[i]) / 16.0f;
    }
    template <class T>
    static void decode(view const& stored, index_t first, index_t count, T* out) {
        for (index_t i = 0; i < count; ++i) out[i] = T(value(stored, first + i));
    }
};

/// Columns [Skip, Skip + First) and the last `Last` of a width have a block each.
template <index_t Width, index_t Skip, index_t First, index_t Last>
struct two_blocks {
    static constexpr index_t width = Width;
    static constexpr index_t blocks = 2;
    static constexpr std::array<index_t, 2> first{Skip, Width - Last};
    static constexpr std::array<index_t, 2> count{First, Last};
};

template <class Blocks, index_t Rank>
dense spread(dense const& stacked) {
    dense result(Blocks::blocks * Rank, Blocks::width);
    index_t line = 0;
    for (index_t b = 0; b < Blocks::blocks; ++b)
        for (index_t j = 0; j < Blocks::count[at(b)]; ++j, ++line)
            for (index_t r = 0; r < Rank; ++r)
                result(b * Rank + r, Blocks::first[at(b)] + j) = stacked(line, r);
    return result;
}

template <class T, class W, class Scheme, index_t Rank, index_t In, index_t Out, index_t Offset = 0>
void check_adapter() {
    CAPTURE(Rank, In, Out, Offset);
    using blocks = two_blocks<Out, 8, Out / 2 - 13, Out / 4 + 1>;
    constexpr index_t rows = 70;
    quantized<Scheme, Out, In> const w(5);
    stored<T, In> const x(rows, 6);
    stored<T, 2 * Rank> const low(rows, 7, Offset);
    stored<W, Rank> const b(blocks::count[0] + blocks::count[1], 8, Offset);
    auto const& numbers = std::is_same_v<T, bf16> ? w.rounded : w.numbers;
    auto const base = product{x.view(), transposed{w.view()}};
    auto const update = product{low.view(), snug::block_diagonal<W, blocks, Rank>{b.memory.data()}};
    check_own<float, rows, Out>(
        {{x.numbers, flipped(numbers)}, {low.numbers, spread<blocks, Rank>(b.numbers)}}, base, update);
    check_own<float, rows, Out>({{low.numbers, spread<blocks, Rank>(b.numbers)}}, update);
    // Backwards: the same weight as it lies, and a plain second product.
    stored<T, Out> const dy(rows, 11);
    stored<W, In> const a(2 * Rank, 12);
    check_own<float, rows, In>({{dy.numbers, numbers}, {low.numbers, a.numbers}},
                               product{dy.view(), w.view()}, product{low.view(), a.view()});
}

/// Workspace for slices of a decoded operand too.
template <std::int64_t Slice>
device_array<std::byte> const& workspace_behind() {
    static device_array<std::byte> const only(std::vector<std::byte>(at(Slice) + workspace().size()), 64);
    return only;
}

/// Every store of products with a quantized operand, of which slices are decoded.
template <class T, class R, class Scheme, index_t Rows, index_t Width, index_t Pad>
void check_decoded() {
    CAPTURE(q::name_of<Scheme>(), Rows, Width);
    constexpr index_t m = 20;
    constexpr std::int64_t narrow = 1;  // slices as narrow as there are
    constexpr auto slice = [](index_t columns, index_t depth) {
        return cuda::decoded_slice_bytes(columns, depth, sizeof(T), narrow);
    };
    constexpr auto slices = [](index_t columns) { return (columns + 127) / 128; };
    static_assert(slices(Rows) == Rows / cuda::decoded_columns(Rows, Width, sizeof(T), narrow) +
                                      (Rows % cuda::decoded_columns(Rows, Width, sizeof(T), narrow) != 0));
    quantized<Scheme, Rows, Width> const w(5);
    auto const& numbers = std::is_same_v<T, bf16> ? w.rounded : w.numbers;
    stored<T, Width, Width + Pad> const x(m, 6);
    stored<T, Rows, Rows + Pad> const dy(m, 7);
    check_stores<R, m, Rows, Pad>(
        x.numbers, flipped(numbers),
        [&](auto const& store) {
            cuda::detail::decoded_matmul<narrow>(on(), workspace_behind<slice(Rows, Width)>().data(), store,
                                                 product{x.view(), transposed{w.view()}});
        },
        slices(Rows), slices(Rows));
    check_stores<R, m, Width, Pad>(
        dy.numbers, numbers,
        [&](auto const& store) {
            cuda::detail::decoded_matmul<narrow>(on(), workspace_behind<slice(Width, Rows)>().data(), store,
                                                 product{dy.view(), w.view()});
        },
        slices(Width), slices(Width));
}

/// A product of many rows and an adapter's update: the library adds the former to what the latter has stored.
template <index_t Rank, index_t Rows, index_t In, index_t Out, class Base>
void check_adapter_of_many_rows(Base const& w, dense const& numbers) {
    CAPTURE(Rank, Rows, In, Out);
    using blocks = two_blocks<Out, 8, Out / 2 - 13, Out / 4 + 1>;
    stored<bf16, In> const x(Rows, 6);
    stored<bf16, 2 * Rank> const low(Rows, 7);
    stored<bf16, Rank> const b(blocks::count[0] + blocks::count[1], 8);
    stored<bf16, Out> const dy(Rows, 11);
    stored<bf16, In> const a(2 * Rank, 12);
    auto& room = workspace_behind<cuda::decoded_slice_bytes(Out, In, 2)>();
    auto const check_with = [&]<index_t Width>(std::integral_constant<index_t, Width>, auto const& factors,
                                               auto const& base, auto const& update, std::int64_t by_library,
                                               dense const& more, bool is_row, auto const& store) {
        auto expected = multiplied(factors);
        add(expected, more, is_row);
        // The update, with what is added to it, is rounded before the rest is added.
        auto small = multiplied({factors[1]});
        add(small, more, is_row);
        allow<bf16>(expected, depth_of(factors),
                    [&](std::size_t i) { return 0x1.02p-8 * std::abs(small.sums.values[i]); });
        std::vector<bf16> first;
        for (int run = 0; run < 2; ++run) {
            result_memory<bf16, Width, Width> const result(Rows, false);
            auto const products = library_products();
            cuda::matmul_on(on(), room.data(), store(result.view()), base, update);
            REQUIRE(library_products() - products == (snug_test::is_emulated ? by_library : 0));
            auto const after = result.memory.values();
            REQUIRE(worst_error(after, Width, expected, depth_of(factors), sum_epsilon<bf16>, 0x1.02p-8) <=
                    1.0);
            if (run == 0) first = after;
            REQUIRE(std::memcmp(after.data(), first.data(), after.size() * sizeof(bf16)) == 0);
        }
    };
    auto const check = [&]<index_t Width>(std::integral_constant<index_t, Width> width, auto const& factors,
                                          auto const& base, auto const& update, std::int64_t by_library) {
        stored<bf16, Width> const bias(1, 13);
        check_with(width, factors, base, update, by_library, bias.numbers, true, [&](auto to) {
            return snug::with_bias<snug::written<bf16, Width>, bf16>{{to}, bias.memory.data()};
        });
        stored<bf16, Width> const residual(Rows, 16);
        check_with(width, factors, base, update, by_library, residual.numbers, false, [&](auto to) {
            return snug::added<bf16, Width>{to, residual.view()};
        });
    };
    using factors = std::vector<std::pair<dense, dense>>;
    check(std::integral_constant<index_t, Out>{},
          factors{{x.numbers, flipped(numbers)}, {low.numbers, spread<blocks, Rank>(b.numbers)}},
          product{x.view(), transposed{w}},
          product{low.view(), snug::block_diagonal<bf16, blocks, Rank>{b.memory.data()}}, 1);
    check(std::integral_constant<index_t, In>{}, factors{{dy.numbers, numbers}, {low.numbers, a.numbers}},
          product{dy.view(), w}, product{low.view(), a.view()}, 2);
    // What a magnitude scales: rounded where it is stored, and again times the scale.
    using scaled_store =
        snug::kernels::stored_and_scaled<bf16, float, snug::with_bias<snug::written<bf16, Out>, bf16>>;
    stored<float, Out> const scales(1, 14);
    stored<bf16, Out> const bias(1, 15);
    result_memory<bf16, Out, Out> const z(Rows, false), unscaled(Rows, false), y(Rows, false);
    auto const base = product{x.view(), transposed{w}};
    auto const update = product{low.view(), snug::block_diagonal<bf16, blocks, Rank>{b.memory.data()}};
    cuda::matmul_on(on(), room.data(),
                    scaled_store{z.view(), scales.memory.data(), {{y.view()}, bias.memory.data()}}, base,
                    update);
    cuda::matmul_on(on(), room.data(), snug::written<bf16, Out>{unscaled.view()}, base, update);
    auto const stored_z = z.memory.values(), got = y.memory.values();
    REQUIRE(std::memcmp(stored_z.data(), unscaled.memory.values().data(), stored_z.size() * sizeof(bf16)) ==
            0);
    double worst = 0;
    for (index_t i = 0; i < Rows; ++i)
        for (index_t j = 0; j < Out; ++j) {
            auto const exact =
                static_cast<double>(stored_z[at(i * Out + j)]) * scales.numbers(0, j) + bias.numbers(0, j);
            worst = std::max(worst, std::abs(static_cast<double>(got[at(i * Out + j)]) - exact) /
                                        (0x1.02p-8 * std::abs(exact) + 0x1p-20));
        }
    REQUIRE(worst <= 1.0);
}

/// x², which the library does not know.
struct square {
    template <class S>
    static constexpr S value(S x) {
        return x * x;
    }
    template <class S>
    static constexpr S derivative(S x) {
        return 2 * x;
    }
};

/// A function of what a product stores, and its derivative times what another one does. The library does the products, and the
/// derivative in one step where it can.
template <class Function, class T, index_t M, index_t N, index_t K>
void check_elementwise(bool in_one_step) {
    CAPTURE(M, N, K, sizeof(T));
    using S = std::conditional_t<std::is_same_v<T, double>, double, float>;
    stored<T, K> const a(M, 1);
    stored<T, K> const b(N, 2);
    stored<T, N> const bias(1, 3);
    auto const factors = product{a.view(), transposed{b.view()}};
    auto const sums = multiplied({{a.numbers, flipped(b.numbers)}});
    auto const with = [&](auto sink) {
        return snug::with_bias<decltype(sink), T const>{sink, bias.memory.data()};
    };

    result_memory<T, N, N> const before(M, false), after(M, false), alone(M, false);
    auto products = library_products();
    cuda::matmul_on(on(), workspace().data(),
                    with(snug::kernels::stored_through<Function, S, T, N>{before.view(), after.view()}),
                    factors);
    REQUIRE(library_products() - products == (snug_test::is_emulated && library_has_bias<T, N> ? 1 : 0));
    cuda::matmul_on(on(), workspace().data(), with(snug::written<T, N>{alone.view()}), factors);
    auto const x = before.memory.values();
    REQUIRE(std::memcmp(x.data(), alone.memory.values().data(), x.size() * sizeof(T)) == 0);
    auto const y = after.memory.values();
    for (std::size_t i = 0; i < x.size(); ++i) {
        auto const expected = Function::value(static_cast<double>(x[i]));
        REQUIRE(std::abs(static_cast<double>(y[i]) - expected) <=
                epsilon_of<T> * 1.01 * std::abs(expected) +
                    4 * epsilon_of<S> * (1 + std::abs(static_cast<double>(x[i]))));
    }

    result_memory<T, N, N> const gradient(M, false);
    products = library_products();
    cuda::matmul_on(on(), workspace().data(),
                    snug::kernels::times_derivative<Function, S, T, N>{before.view(), gradient.view()},
                    factors);
    REQUIRE(library_products() - products == (snug_test::is_emulated ? 1 : 0));
    auto expected = sums;
    // Half the distance of the smallest numbers of fp16.
    constexpr double smallest = std::is_same_v<T, fp16> ? 0x1p-25 : 0;
    for (std::size_t i = 0; i < x.size(); ++i) {
        auto const at_x = static_cast<double>(x[i]);
        auto const slope = Function::derivative(at_x);
        expected.sums.values[i] *= slope;
        // The derivative too has a rounding error, some units of S where x is not large.
        expected.magnitudes.values[i] *= std::abs(slope) + (1 + std::abs(at_x * at_x * at_x)) / 8;
        expected.magnitudes.values[i] += smallest / sum_epsilon<T>;
    }
    // The library's tanh has 11 bits.
    if (in_one_step)
        allow<T>(expected, K + 6, [&](std::size_t i) {
            return 0x1p-10 * std::abs(sums.sums.values[i]) * (1 + std::abs(static_cast<double>(x[i])));
        });
    // The product may be rounded before it is multiplied.
    REQUIRE(worst_error(gradient.memory.values(), N, expected, K + 6, sum_epsilon<T>, epsilon_of<T> * 2.02) <=
            1.0);
}

}  // namespace

TEST_CASE("own products of plain matrices equal the sum in double", "[cuda][matmul]") {
    auto const conflicts = snug_test::shared_conflicts();
    check_plain<bf16, bf16, 1, 1, 1, 0>();
    check_plain<bf16, bf16, 136, 72, 40, 8>();    // 16-byte aligned lines, narrow tiles
    check_plain<bf16, bf16, 131, 129, 75, 0>();   // nothing is aligned
    check_plain<bf16, bf16, 16, 8, 128, 0, 3>();  // widths are, the pointers are not
    check_plain<fp16, fp16, 136, 72, 40, 8>();
    check_plain<fp16, fp16, 3, 37, 5, 3>();
    REQUIRE(snug_test::shared_conflicts() == conflicts);
    check_plain<float, float, 70, 129, 35, 1>();
    check_plain<double, double, 70, 65, 16, 0>();
    check_plain<bf16, float, 3, 37, 5, 3>();
    check_plain<float, double, 64, 3, 17, 0>();
}

TEMPLATE_TEST_CASE("the library does single products of plain matrices, with every store of layers",
                   "[cuda][matmul]", (std::pair<bf16, bf16>), (std::pair<fp16, fp16>),
                   (std::pair<float, float>), (std::pair<double, double>), (std::pair<bf16, float>)) {
    using T = typename TestType::first_type;
    using R = typename TestType::second_type;
    check_library<T, R, 24, 16, 40, 8>();
    check_library<T, R, 3, 5, 7, 0>(1);
}

TEST_CASE("every quantization scheme decodes on the device to the host's bits", "[cuda][matmul]") {
    check_quantized<q::nf4<64>, 40, 72, true>();
    check_quantized<q::nf4<64>, 48, 160>();
    check_quantized<q::fp4<8>, 48, 80>();
    check_quantized<q::nf4<6>, 21, 36>();
    check_quantized<q::nf4<64, q::dialects::torchao>, 24, 136>();
    check_quantized<q::fp4<64>, 33, 40>();
    check_quantized<q::int8<256>, 33, 72, true>();
    check_quantized<q::int8<16>, 7, 11>();
    check_quantized<q::absmax, 16, 40>();
    check_quantized<q::absmax_4bit, 13, 21>();
    check_quantized<q::affine, 40, 24, true>();
    check_quantized<q::affine_4bit, 40, 24>();
    check_quantized<q::blockwise<q::affine, 32>, 40, 24>();
    check_quantized<q::blockwise<q::affine_4bit, 8>, 40, 24>();
    check_quantized<q::type_range<>, 8, 16>();
    check_quantized<q::quantile, 24, 40>();
    check_quantized<q::quantile_4bit, 24, 41>();
    check_quantized<q::double_quantized<q::nf4<64>>, 40, 72, true>();
    check_quantized<q::double_quantized<q::nf4<16, q::dialects::torchao>, 16>, 24, 40>();
    check_quantized<q::double_quantized<q::blockwise<q::absmax, 32>>, 24, 40>();
    check_quantized<q::outlier_split<q::threshold<3>, q::nf4<64>, q::outlier_columns<40>>, 24, 40>();
    check_quantized<sixteenths, 9, 24>();
}

TEST_CASE("an adapter's product is summed with that of its quantized weight", "[cuda][matmul]") {
    using scheme = q::double_quantized<q::nf4<64>>;
    check_adapter<bf16, bf16, scheme, 8, 64, 200>();
    check_adapter<bf16, bf16, scheme, 16, 72, 136>();
    check_adapter<bf16, bf16, scheme, 3, 40, 104>();
    check_adapter<bf16, bf16, scheme, 8, 64, 104, 1>();
    check_adapter<bf16, float, q::int8<64>, 8, 64, 104>();  // an adapter in fp32: no tensor cores
    check_adapter<float, float, scheme, 5, 48, 88>();
}

TEST_CASE("slices of a quantized weight are decoded for the library's product", "[cuda][matmul]") {
    check_decoded<bf16, bf16, q::double_quantized<q::nf4<64>>, 300, 328, 8>();
    check_decoded<bf16, float, q::int8<64>, 136, 40, 8>();
    check_decoded<float, float, q::nf4<64>, 40, 264, 4>();
    check_decoded<bf16, bf16, q::nf4<64>, 16, 4104, 0>();      // lines of several blocks
    check_decoded<bf16, bf16, q::quantile_4bit, 33, 21, 3>();  // no pieces of 8
    check_decoded<bf16, bf16, q::outlier_split<q::threshold<3>, q::nf4<64>, q::outlier_columns<40>>, 24, 40,
                  0>();
}

TEST_CASE("with many rows the library multiplies the weight, and its product is added to the adapter's",
          "[cuda][matmul]") {
    quantized<q::double_quantized<q::nf4<64>>, 104, 64> const w(5);
    check_adapter_of_many_rows<8, cuda::rows_worth_decoding, 64, 104>(w.view(), w.rounded);
    stored<bf16, 64> const plain(104, 5);
    check_adapter_of_many_rows<8, cuda::rows_worth_adding, 64, 104>(plain.view(), plain.numbers);
}

TEST_CASE("several plain products, and stores that the library does not know", "[cuda][matmul]") {
    constexpr snug::index_t m = 90, n = 200, k = 48, few = 56;
    stored<bf16, k> const a(m, 1);
    stored<bf16, n> const b(k, 2);
    stored<bf16, few> const c(m, 3);
    stored<bf16, few> const d(n, 4);
    auto const first = product{a.view(), b.view()};
    auto const second = product{c.view(), transposed{d.view()}};
    auto expected = multiplied({{a.numbers, b.numbers}, {c.numbers, flipped(d.numbers)}});
    stored<float, n> const bias(1, 5, 1);
    add(expected, bias.numbers, true);
    result_memory<bf16, n, n> const result(m, false);
    auto const products = library_products();
    cuda::matmul_on(on(), workspace().data(),
                    snug::with_bias<snug::written<bf16, n>, float>{{result.view()}, bias.memory.data()},
                    first, second);
    REQUIRE(worst_error(result.memory.values(), n, expected, k + few, 0x1p-23, 0x1.02p-8) <= 1.0);
    // A single product, but a bias of another type than the result.
    auto alone = multiplied({{a.numbers, b.numbers}});
    add(alone, bias.numbers, true);
    cuda::matmul_on(on(), workspace().data(),
                    snug::with_bias<snug::written<bf16, n>, float>{{result.view()}, bias.memory.data()},
                    first);
    REQUIRE(worst_error(result.memory.values(), n, alone, k, 0x1p-23, 0x1.02p-8) <= 1.0);
    cuda::matmul_on(on(), workspace().data(), snug::discarded<n>{}, first);
    REQUIRE(library_products() == products);
}

TEST_CASE("an empty product stores nothing", "[cuda][matmul]") {
    matrix<bf16 const, 8> const none{nullptr, 0};
    stored<bf16, 16> const b(8, 1);
    auto const launches = snug_test::launches();
    auto const products = library_products();
    cuda::matmul_on(on(), workspace().data(), snug::written<bf16, 16>{}, product{none, b.view()});
    cuda::matmul_on(on(), workspace().data(), snug::discarded<16>{}, product{none, b.view()});
    REQUIRE(snug_test::launches() == launches);
    REQUIRE(library_products() == products);
}

TEST_CASE("layers of one shape have biases of their own", "[cuda][matmul]") {
    stored<bf16, 32> const a(5, 2);
    stored<bf16, 32> const b(24, 1);
    auto const check = [&](auto const& bias) {
        result_memory<bf16, 24, 24> const result(5, false);
        auto expected = multiplied({{a.numbers, flipped(b.numbers)}});
        add(expected, bias.numbers, true);
        cuda::matmul_on(on(), workspace().data(),
                        snug::with_bias<snug::written<bf16, 24>, bf16>{{result.view()}, bias.memory.data()},
                        product{a.view(), transposed{b.view()}});
        REQUIRE(worst_error(result.memory.values(), 24, expected, 32, 0x1p-23, 0x1.02p-8) <= 1.0);
    };
    // Both at once: memory that is free again is the same memory.
    stored<bf16, 24> const one(1, 3);
    stored<bf16, 24> const other(1, 4);
    check(one);
    check(other);
}

TEST_CASE("products store through elementwise functions", "[cuda][matmul]") {
    check_elementwise<snug::kernels::gelu_function, bf16, 24, 40, 32>(true);
    check_elementwise<snug::kernels::gelu_function, fp16, 24, 40, 32>(true);
    check_elementwise<snug::kernels::gelu_function, bf16, 9, 20, 24>(false);
    check_elementwise<snug::kernels::gelu_function, float, 9, 20, 24>(false);
    check_elementwise<snug::kernels::gelu_function, double, 9, 20, 24>(false);
    check_elementwise<square, bf16, 24, 40, 32>(false);
#if defined(SNUG_CUDA_EMULATION)
    // Where it has no algorithm for the gradient, that is a pass.
    emulation::lt::counted().knows_gelu = false;
    check_elementwise<snug::kernels::gelu_function, bf16, 24, 48, 32>(false);
    emulation::lt::counted().knows_gelu = true;
#endif
}
