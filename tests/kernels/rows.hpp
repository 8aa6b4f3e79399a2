// SPDX-License-Identifier: Apache-2.0
// Rows, elements, sums and copies on a device.
#pragma once

#include <catch2/catch.hpp>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <snug/backend/cuda/add_column_sums.cuh>
#include <snug/backend/cuda/add_exact_sum.cuh>
#include <snug/backend/cuda/add_rows.cuh>
#include <snug/backend/cuda/add_sum.cuh>
#include <snug/backend/cuda/copy.cuh>
#include <snug/backend/cuda/for_each_element.cuh>
#include <snug/backend/cuda/for_each_row.cuh>
#include <snug/backend/cuda/for_each_row_with_column_sums.cuh>
#include <snug/backend/cuda/memory.cuh>
#include <snug/backend/cuda/pages.cuh>
#include <snug/backend/host/team.hpp>
#include <snug/kernels/cross_entropy.hpp>
#include <snug/kernels/norm.hpp>
#include <snug/ops/add_column_sums.hpp>
#include <snug/ops/add_exact_sum.hpp>
#include <snug/ops/add_rows.hpp>
#include <snug/ops/add_sum.hpp>
#include <snug/ops/copy.hpp>
#include <snug/ops/for_each_element.hpp>
#include <snug/ops/for_each_row.hpp>
#include <snug/ops/for_each_row_with_column_sums.hpp>
#include <snug/ops/memory.hpp>
#include <snug/ops/pages.hpp>
#include <snug/precision/bf16.hpp>
#include <type_traits>
#include <utility>
#include <vector>

#include "device_array.hpp"

namespace {

namespace backend = snug::backend::cuda;
namespace ops = snug::ops;
using snug::bf16, snug::index_t, snug::matrix, snug::written;
using snug::backend::host::serial_team;
using device = backend::tag;

template <class T>
using on_device = snug_test::device_array<T>;

template <class T>
std::vector<T> random_numbers(index_t count, unsigned seed) {
    std::mt19937 engine(seed);
    std::normal_distribution<float> normal;
    std::vector<T> result(static_cast<std::size_t>(count));
    for (auto& x : result) x = T(normal(engine));
    return result;
}

double number(auto x) { return static_cast<double>(static_cast<float>(x)); }

template <class T>
constexpr double tolerance = std::is_same_v<T, bf16> ? 0x1p-8 : 1e-5;

/// Poison is a NaN, which no comparison lets pass.
template <class T>
void check_near(std::vector<T> const& got, std::vector<T> const& wanted) {
    REQUIRE(got.size() == wanted.size());
    std::size_t wrong = 0;
    for (std::size_t i = 0; i < got.size(); ++i)
        wrong += !(std::abs(number(got[i]) - number(wanted[i])) <=
                   tolerance<T> * (1 + std::abs(number(wanted[i]))));
    CHECK(wrong == 0);
}

template <index_t Width>
struct layer_norm_row {
    template <class T>
    constexpr void operator()(auto team, index_t row, T const* x, T const* weight, T const* bias,
                              float* means, float* rstds, T* y, index_t rows) const {
        snug::kernels::layer_norm_forward(team, Width, snug::aligned<Width>(x + row * Width),
                                          snug::aligned<Width>(weight), snug::aligned<Width>(bias), 1e-5,
                                          means[row], rstds[row], written<T, Width>{{y, rows}}, row);
    }
};

template <index_t Width>
struct layer_norm_row_backward {
    // The gradient takes the place of x, as in a step.
    template <class T>
    constexpr void operator()(auto team, index_t row, T* x, T const* dy, T const* weight, float const* means,
                              float const* rstds, index_t rows) const {
        snug::kernels::layer_norm_backward(
            team, Width, snug::aligned<Width>(x + row * Width), snug::aligned<Width>(dy + row * Width),
            snug::aligned<Width>(weight), means[row], rstds[row], written<T, Width>{{x, rows}}, row);
    }
};

template <index_t Vocabulary>
struct cross_entropy_row {
    template <class T>
    constexpr void operator()(auto team, index_t row, T* logits, std::int32_t const* targets, float scale,
                              float* losses) const {
        losses[row] = snug::kernels::cross_entropy<float>(team, Vocabulary, logits + row * Vocabulary,
                                                          targets[row], &scale);
    }
};

struct product_of {
    constexpr float operator()(index_t row, index_t column, auto x, auto y, index_t columns,
                               int* outside) const {
        if (row >= x.rows || column >= columns) *outside += 1;
        return static_cast<float>(x.row(row)[column]) * static_cast<float>(y.row(row)[column]);
    }
};
struct square_of {
    constexpr double operator()(index_t i, float const* x) const {
        return static_cast<double>(x[i]) * static_cast<double>(x[i]);
    }
};
struct key_of {
    constexpr index_t operator()(index_t row, std::int32_t const* keys) const { return keys[row]; }
};
struct add_twice {
    constexpr void operator()(index_t i, float const* x, float* y) const { y[i] += 2 * x[i]; }
};

/// The rows of `ops`, by the serial team.
void on_host(index_t rows, auto const& body) {
    for (index_t row = 0; row < rows; ++row) body(serial_team{}, row);
}

template <index_t Width, class T>
void check_layer_norm(index_t rows) {
    auto const x = random_numbers<T>(rows * Width, 1), dy = random_numbers<T>(rows * Width, 2);
    auto const weight = random_numbers<T>(Width, 3), bias = random_numbers<T>(Width, 4);
    auto const count = static_cast<std::size_t>(rows);
    on_device<T> const d_x(x), d_dy(dy), d_weight(weight), d_bias(bias), d_y(x.size());
    on_device<float> const d_means(count), d_rstds(count);
    ops::for_each_row<Width>(
        snug_test::on(), rows,
        ops::bound<layer_norm_row<Width>>(
            static_cast<T const*>(d_x.data()), static_cast<T const*>(d_weight.data()),
            static_cast<T const*>(d_bias.data()), d_means.data(), d_rstds.data(), d_y.data(), rows));
    std::vector<T> wanted(x.size()), y(x.size());
    std::vector<float> means(count), rstds(count);
    for (index_t row = 0; row < rows; ++row) {
        T const* const from = x.data() + row * Width;
        double mean = 0, variance = 0;
        for (index_t i = 0; i < Width; ++i) mean += number(from[i]) / Width;
        for (index_t i = 0; i < Width; ++i)
            variance += (number(from[i]) - mean) * (number(from[i]) - mean) / Width;
        for (index_t i = 0; i < Width; ++i)
            wanted[static_cast<std::size_t>(row * Width + i)] =
                T(static_cast<float>((number(from[i]) - mean) / std::sqrt(variance + 1e-5) *
                                         number(weight[static_cast<std::size_t>(i)]) +
                                     number(bias[static_cast<std::size_t>(i)])));
    }
    check_near(d_y.values(), wanted);
    on_host(rows, ops::bound<layer_norm_row<Width>>(x.data(), weight.data(), bias.data(), means.data(),
                                                    rstds.data(), y.data(), rows));
    check_near(d_y.values(), y);
    check_near(d_means.values(), means);
    check_near(d_rstds.values(), rstds);

    ops::for_each_row<Width>(
        snug_test::on(), rows,
        ops::bound<layer_norm_row_backward<Width>>(
            d_x.data(), static_cast<T const*>(d_dy.data()), static_cast<T const*>(d_weight.data()),
            static_cast<float const*>(d_means.data()), static_cast<float const*>(d_rstds.data()), rows));
    auto gradient = x;
    on_host(rows, ops::bound<layer_norm_row_backward<Width>>(gradient.data(), dy.data(), weight.data(),
                                                             static_cast<float const*>(means.data()),
                                                             static_cast<float const*>(rstds.data()), rows));
    check_near(d_x.values(), gradient);
}

template <index_t Vocabulary, class T>
void check_cross_entropy(index_t rows) {
    auto const logits = random_numbers<T>(rows * Vocabulary, 5);
    std::vector<std::int32_t> targets;
    for (index_t row = 0; row < rows; ++row)
        targets.push_back(row == 1 ? -1 : static_cast<std::int32_t>(row * 7919 % Vocabulary));
    on_device<T> const d_logits(logits);
    on_device<std::int32_t> const d_targets(targets);
    on_device<float> const d_losses(targets.size());
    float const scale = 0.25f;
    ops::for_each_row<Vocabulary>(
        snug_test::on(), rows,
        ops::bound<cross_entropy_row<Vocabulary>>(
            d_logits.data(), static_cast<std::int32_t const*>(d_targets.data()), scale, d_losses.data()));
    std::vector<float> losses;
    std::vector<T> gradient;
    for (index_t row = 0; row < rows; ++row) {
        T const* const from = logits.data() + row * Vocabulary;
        auto const target = targets[static_cast<std::size_t>(row)];
        double total = 0;
        for (index_t i = 0; i < Vocabulary; ++i) total += std::exp(number(from[i]));
        losses.push_back(target < 0 ? 0 : static_cast<float>(std::log(total) - number(from[target])));
        for (index_t i = 0; i < Vocabulary; ++i)
            gradient.push_back(
                T(target < 0 ? 0.0f
                             : static_cast<float>((std::exp(number(from[i])) / total - (i == target)) *
                                                  static_cast<double>(scale))));
    }
    check_near(d_losses.values(), losses);
    check_near(d_logits.values(), gradient);
}

/// Poison, of the size that is declared and no more.
on_device<std::byte> declared(index_t bytes) { return on_device<std::byte>(static_cast<std::size_t>(bytes)); }

template <class T>
void check_column_sums(index_t rows) {
    constexpr index_t width = 520, stride = 528;
    auto const x = random_numbers<T>(rows * stride, 6), y = random_numbers<T>(rows * stride, 7);
    auto const before = random_numbers<float>(width, 8);
    on_device<T> const d_x(x), d_y(y);
    on_device<int> const outside(std::vector<int>{0});
    for (index_t columns :
         {index_t{1}, index_t{7}, index_t{8}, index_t{25}, index_t{256}, index_t{259}, width}) {
        auto const add = [&] {
            on_device<float> const sums(before);
            auto const workspace = declared(ops::column_sums_workspace<device, float>(rows, columns));
            ops::add_column_sums(snug_test::on(), rows, columns, workspace.data(), sums.data(),
                                 ops::bound<product_of>(matrix<T const, width, stride>{d_x.data(), rows},
                                                        matrix<T const, width, stride>{d_y.data(), rows},
                                                        columns, outside.data()));
            return sums.values();
        };
        auto wanted = before;
        for (index_t column = 0; column < columns; ++column) {
            double sum = number(before[static_cast<std::size_t>(column)]);
            for (index_t row = 0; row < rows; ++row) {
                auto const at = static_cast<std::size_t>(row * stride + column);
                sum += number(x[at]) * number(y[at]);
            }
            wanted[static_cast<std::size_t>(column)] = static_cast<float>(sum);
        }
        auto const got = add();
        check_near(got, wanted);
        CHECK(snug_test::same_bits(got, add()));
    }
    CHECK(outside.values()[0] == 0);
}

/// Where the gradient of the input is put.
enum class place { over_input, over_gradient, elsewhere };

/// The body does to a row what the sums must not see; so do lanes with the rows of other lanes.
template <index_t Width>
struct reverse_and_scale {
    template <class T>
    constexpr void operator()(auto team, index_t row, T* x, T const* dy, T* dx) const {
        auto const total = team.template sum<float>(Width, [=](index_t i) {
            return static_cast<float>(x[row * Width + i]) * static_cast<float>(dy[row * Width + i]);
        });
        team.for_each(Width, [=](index_t i) { dx[row * Width + Width - 1 - i] = static_cast<T>(total); });
    }
};
/// Stores before it has read anything: only the operation itself can keep it from what others have still to read.
template <index_t Width>
struct overwrite_row {
    template <class T>
    constexpr void operator()(auto team, index_t row, T*, T const*, T* dx) const {
        team.for_each(Width,
                      [=](index_t i) { dx[row * Width + Width - 1 - i] = static_cast<T>(float(row % 7)); });
    }
};
template <index_t Width>
struct product_at {
    constexpr float operator()(index_t row, index_t column, auto x, auto dy) const {
        return static_cast<float>(x[row * Width + column]) * static_cast<float>(dy[row * Width + column]);
    }
};
template <index_t Width>
struct number_at {
    constexpr float operator()(index_t row, index_t column, auto dy) const {
        return static_cast<float>(dy[row * Width + column]);
    }
};

template <index_t Width, class T, class Body, class Sum, int Sums>
void check_rows_with_sums(index_t rows, place where) {
    auto const x = random_numbers<T>(rows * Width, 15), dy = random_numbers<T>(rows * Width, 16);
    auto const before = random_numbers<float>(Sums * Width, 17);
    std::vector<double> exact(before.begin(), before.end());
    std::vector<Sum> start(before.begin(), before.end());
    for (index_t row = 0; row < rows; ++row)
        for (index_t i = 0; i < Width; ++i) {
            auto const at = static_cast<std::size_t>(row * Width + i);
            exact[static_cast<std::size_t>(i)] += number(x[at]) * number(dy[at]);
            if constexpr (Sums > 1) exact[static_cast<std::size_t>(Width + i)] += number(dy[at]);
        }
    auto const target = [where](T* from, T* gradient, T* free) {
        return where == place::over_input ? from : where == place::over_gradient ? gradient : free;
    };
    auto h_x = x, h_dy = dy, h_dx = std::vector<T>(x.size());
    auto* const h_to = target(h_x.data(), h_dy.data(), h_dx.data());
    on_host(rows, ops::bound<Body>(h_x.data(), static_cast<T const*>(h_dy.data()), h_to));

    auto const run = [&](bool check) {
        on_device<T> const d_x(x), d_dy(dy), d_dx(x.size());
        on_device<Sum> const sums(start);
        auto const workspace = declared(ops::rows_with_column_sums_workspace<device, Sum>(rows, Width, Sums));
        auto const* const from = static_cast<T const*>(d_x.data());
        auto const* const gradient = static_cast<T const*>(d_dy.data());
        auto const body =
            ops::bound<Body>(d_x.data(), gradient, target(d_x.data(), d_dy.data(), d_dx.data()));
        ops::column_sum const of_products{sums.data(), ops::bound<product_at<Width>>(from, gradient)};
        if constexpr (Sums == 1)
            ops::for_each_row_with_column_sums<Width>(snug_test::on(), rows, workspace.data(), body,
                                                      of_products);
        else
            ops::for_each_row_with_column_sums<Width>(
                snug_test::on(), rows, workspace.data(), body, of_products,
                ops::column_sum{sums.data() + Width, ops::bound<number_at<Width>>(gradient)});
        auto const got = sums.values();
        if (check) {
            std::size_t wrong = 0;
            for (std::size_t i = 0; i < got.size(); ++i)
                wrong += !(std::abs(static_cast<double>(got[i]) - exact[i]) <=
                           tolerance<Sum> * (1 + std::abs(exact[i])) * std::sqrt(1.0 + double(rows)));
            CHECK(wrong == 0);
            check_near(where == place::over_input      ? d_x.values()
                       : where == place::over_gradient ? d_dy.values()
                                                       : d_dx.values(),
                       where == place::over_input      ? h_x
                       : where == place::over_gradient ? h_dy
                                                       : h_dx);
        }
        return got;
    };
    auto const once = run(true);
    CHECK(snug_test::same_bits(once, run(false)));
}

template <index_t Width, class T, class Sum = float>
void check_rows_with_sums(index_t rows) {
    for (auto const where : {place::over_input, place::over_gradient, place::elsewhere}) {
        check_rows_with_sums<Width, T, reverse_and_scale<Width>, Sum, 1>(rows, where);
        check_rows_with_sums<Width, T, overwrite_row<Width>, Sum, 2>(rows, where);
    }
}

template <index_t Width, class T>
void check_add_rows(index_t rows, index_t keys, float factor = 1) {
    auto const from = random_numbers<bf16>(rows * Width, 9);
    auto const before = random_numbers<T>(keys * Width, 10);
    std::mt19937 engine(11);
    std::vector<std::int32_t> key(static_cast<std::size_t>(rows));
    for (auto& k : key) k = static_cast<std::int32_t>(engine() % static_cast<unsigned>(keys));
    on_device<bf16> const d_from(from);
    on_device<T> const d_to(before);
    on_device<std::int32_t> const d_key(key);
    ops::add_rows<float>(snug_test::on(), matrix<bf16 const, Width>{d_from.data(), rows}, d_to.data(),
                         ops::bound<key_of>(static_cast<std::int32_t const*>(d_key.data())), factor);
    std::vector<float> sums(before.begin(), before.end());
    for (index_t row = 0; row < rows; ++row)
        for (index_t i = 0; i < Width; ++i)
            sums[static_cast<std::size_t>(key[static_cast<std::size_t>(row)] * Width + i)] +=
                factor * static_cast<float>(from[static_cast<std::size_t>(row * Width + i)]);
    auto const got = d_to.values();
    std::size_t wrong = 0;  // in order, and rounded once: the same bits
    for (std::size_t i = 0; i < got.size(); ++i) wrong += number(got[i]) != number(T(sums[i]));
    CHECK(wrong == 0);
}

}  // namespace

TEST_CASE("norms of rows by warps and by blocks") {
    check_layer_norm<8, float>(3);
    check_layer_norm<77, float>(9);
    check_layer_norm<96, bf16>(5);
    check_layer_norm<768, bf16>(6);
    check_layer_norm<2048, bf16>(2);
    check_layer_norm<2056, bf16>(3);
    check_layer_norm<2077, float>(2);
}

TEST_CASE("cross-entropy of rows by warps and by blocks") {
    check_cross_entropy<31, float>(5);
    check_cross_entropy<512, bf16>(6);
    check_cross_entropy<2049, float>(4);
    check_cross_entropy<8200, bf16>(3);
}

TEST_CASE("sums of columns") {
    // Of so many rows that there are several pieces, and one more.
    for (snug::index_t rows : {snug::index_t{1}, snug::index_t{3}, snug::index_t{255}, snug::index_t{513}}) {
        check_column_sums<bf16>(rows);
        check_column_sums<float>(rows);
    }
}

TEST_CASE("rows are cut into pieces by their number, not by the device") {
    using backend::column_sums_pieces, backend::rows_with_sums_pieces;
    static_assert(column_sums_pieces(1, 768) == 1 && column_sums_pieces(33, 768) == 2);
    static_assert(column_sums_pieces(8192, 768) == 176 && column_sums_pieces(8192, 50257) == 3);
    static_assert(column_sums_pieces(1 << 20, 8) == 528 && column_sums_pieces(1 << 20, 1 << 20) == 1);
    static_assert(rows_with_sums_pieces(1) == 1 && rows_with_sums_pieces(9) == 3 &&
                  rows_with_sums_pieces(1 << 20) == 528);
    static_assert(ops::rows_with_column_sums_workspace<device, float>(8192, 768, 2) == 2 * 528 * 768 * 4);
    // Too wide for one pass: the sums come one after the other.
    static_assert(ops::rows_with_column_sums_workspace<device, float>(8192, 8200, 2) ==
                  ops::column_sums_workspace<device, float>(8192, 8200));
}

TEST_CASE("rows and the sums of their columns as they were before") {
    check_rows_with_sums<8, float>(3);
    check_rows_with_sums<77, float>(2115);  // more rows than warps in all pieces
    check_rows_with_sums<96, bf16>(21);
    check_rows_with_sums<264, bf16>(530);
    check_rows_with_sums<768, bf16>(6);
    check_rows_with_sums<1024, float>(9);
    check_rows_with_sums<1024, float, double>(5);  // by blocks
    check_rows_with_sums<1029, float>(9);
    check_rows_with_sums<1600, bf16>(5);
    check_rows_with_sums<1032, bf16>(533);  // more rows than pieces
    check_rows_with_sums<8192, bf16>(3);
    check_rows_with_sums<8200, bf16>(3);  // several passes
}

TEST_CASE("rows are added to the rows of their keys, in order") {
    check_add_rows<8, float>(1, 1);
    check_add_rows<40, float>(300, 7);
    check_add_rows<33, bf16>(150, 40);
    check_add_rows<1032, float>(20, 3);
    check_add_rows<33, float>(50, 9, 32);
    check_add_rows<4104, float>(6, 2);
}

TEST_CASE("a sum of elements stays on the device") {
    on_device<double> const partials(static_cast<std::size_t>(ops::sum_partials));
    for (snug::index_t count : {snug::index_t{1}, snug::index_t{255}, snug::index_t{4096},
                                snug::index_t{4097}, snug::index_t{50001}}) {
        auto const x = random_numbers<float>(count, 12);
        on_device<float> const d_x(x);
        on_device<double> const total(std::vector<double>{5.0});
        ops::add_sum(snug_test::on(), count, partials.data(), total.data(),
                     ops::bound<square_of>(static_cast<float const*>(d_x.data())));
        double wanted = 5;
        for (auto value : x) wanted += number(value) * number(value);
        CHECK(total.values()[0] == Approx(wanted).epsilon(1e-12));
    }
}

TEST_CASE("a sum of squares is exact: pieces of it give the same bits in any order") {
    auto const rows = snug::index_t{7};
    for (snug::index_t width :
         {snug::index_t{1}, snug::index_t{255}, snug::index_t{256}, snug::index_t{5000}}) {
        auto x = random_numbers<float>(rows * width, 15);
        for (std::size_t i = 0; i < x.size(); ++i)
            x[i] = std::ldexp(x[i], static_cast<int>(i * 37 % 200) - 100);
        on_device<float> const d_x(x);
        auto const sum_of = [&](std::vector<std::pair<snug::index_t, snug::index_t>> const& pieces) {
            on_device<std::int64_t> const parts(std::vector<std::int64_t>(snug::kernels::exact_sum::size));
            auto* const total = reinterpret_cast<snug::kernels::exact_sum*>(parts.data());
            for (auto const& [first, count] : pieces)
                ops::add_exact_sum(
                    snug_test::on(), count, width, total,
                    ops::bound<square_of>(static_cast<float const*>(d_x.data()) + first * width));
            snug::kernels::exact_sum found{};
            auto const values = parts.values();
            std::copy(values.begin(), values.end(), found.parts);
            return found.value();
        };
        auto const whole = sum_of({{0, rows}});
        CHECK(sum_of({{5, 2}, {0, 1}, {1, 4}}) == whole);
        CHECK(sum_of({{6, 1}, {5, 1}, {4, 1}, {3, 1}, {2, 1}, {1, 1}, {0, 1}}) == whole);
        long double wanted = 0;
        for (auto value : x) wanted += static_cast<long double>(value) * static_cast<long double>(value);
        CHECK(whole == Approx(static_cast<double>(wanted)).epsilon(1e-14));
    }
    on_device<float> const d_x(std::vector<float>{1.0f, std::numeric_limits<float>::infinity()});
    on_device<std::int64_t> const parts(std::vector<std::int64_t>(snug::kernels::exact_sum::size));
    ops::add_exact_sum(snug_test::on(), 1, 2, reinterpret_cast<snug::kernels::exact_sum*>(parts.data()),
                       ops::bound<square_of>(static_cast<float const*>(d_x.data())));
    CHECK(parts.values().back() == 1);
}

TEST_CASE("every element once") {
    for (snug::index_t count :
         {snug::index_t{1}, snug::index_t{1023}, snug::index_t{1024}, snug::index_t{3000}}) {
        auto const x = random_numbers<float>(count, 13);
        auto y = random_numbers<float>(count, 14);
        on_device<float> const d_x(x), d_y(y);
        ops::for_each_element(snug_test::on(), count,
                              ops::bound<add_twice>(static_cast<float const*>(d_x.data()), d_y.data()));
        for (std::size_t i = 0; i < y.size(); ++i) y[i] += 2 * x[i];
        check_near(d_y.values(), y);
    }
    // Nothing to do is no launch, which CUDA would refuse.
    auto const launches = snug_test::launches();
    ops::for_each_element(
        snug_test::on(), 0,
        ops::bound<add_twice>(static_cast<float const*>(nullptr), static_cast<float*>(nullptr)));
    CHECK(snug_test::launches() == launches);
}

/// `before_the_host_waits(page)` sees pinned memory that a page of the device is on its way to.
template <class F>
void copies_are_in_order(F const& before_the_host_waits) {
    std::vector<float> x(1000, 1.0f);
    on_device<float> const d_x(1000), d_y(std::vector<float>(1000, 0.0f));
    ops::copy_in(snug_test::on(), d_x.data(), x.data(), 4000);
    x.assign(1000, 3.0f);  // as soon as the copy returned
    ops::for_each_element(snug_test::on(), 1000,
                          ops::bound<add_twice>(static_cast<float const*>(d_x.data()), d_y.data()));
    CHECK(d_y.values() == std::vector<float>(1000, 2.0f));
    snug::arena const page(snug::bytes{4000}, ops::paged_memory<device>());
    ops::page_out(snug_test::on(), 0, page.data(), d_y.data(), 4000);
    ops::pages_are_away(snug_test::on());
    before_the_host_waits(reinterpret_cast<float const*>(page.data()));
    backend::synchronize(snug_test::on());
    CHECK(reinterpret_cast<float*>(page.data())[999] == 2.0f);
}

TEST_CASE("copies are in order with the operations") {
    copies_are_in_order([](float const*) {});
}

TEST_CASE("too little device memory is an error that says so") {
    CHECK_THROWS_WITH(snug::arena(snug::bytes{std::int64_t{1} << 40}, ops::memory<device>()),
                      Catch::Contains("not enough free memory"));
    CHECK(cudaGetLastError() == cudaSuccess);
}
