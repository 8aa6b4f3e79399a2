// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <snug/kernels/norm.hpp>
#include <snug/layers/initial.hpp>
#include <snug/layers/layer.hpp>
#include <snug/ops/backend.hpp>

namespace snug {

/// LayerNorm over the last dimension, with weight and bias (Ba et al., arXiv 1607.06450).
template <index Width, class Epsilon = std::ratio<1, 100000>>
struct layer_norm {
    static constexpr index input_width = Width;
    static constexpr index output_width = Width;
    static constexpr bool backward_writes_over_input = true;
    static constexpr bool cheap_to_recompute = true;
    static constexpr bool backward_writes_over_gradient = true;
    static constexpr double epsilon = static_cast<double>(Epsilon::num) / static_cast<double>(Epsilon::den);

    using weight = parameter<"weight", shape<Width>, initial::ones>;
    using bias = parameter<"bias", shape<Width>, initial::zeros>;
    using parameters = meta::list<weight, bias>;
    using mean = saved_per_token<"mean", statistic, 1>;
    using rstd = saved_per_token<"rstd", statistic, 1>;
    using saved = meta::list<mean, rstd>;

    template <class Call, class X, class Y>
    static void forward(Call const& call, X x, Y y) {
        auto const* const w = call.value(weight{});
        auto const* const b = call.value(bias{});
        auto* const means = call.saved(mean{});
        auto* const rstds = call.saved(rstd{});
        ops::for_each_row<typename Call::backend>(x.rows, [=](auto team, index row) {
            kernels::layer_norm_forward(team, Width, x.row(row), w, b, epsilon, means[row], rstds[row],
                                        [=](index column, auto value) { y(row, column, value); });
        });
    }

    template <class Call, class X, class Y, class DY, class DX>
    static void backward(Call const& call, X x, Y, DY dy, DX dx) {
        using backend = typename Call::backend;
        using S = typename Call::setting::statistic;
        auto const* const w = call.value(weight{});
        auto const* const means = call.saved(mean{});
        auto const* const rstds = call.saved(rstd{});
        if constexpr (Call::trains(weight{}))
            ops::add_column_sums<backend>(
                x.rows, Width, call.gradient(weight{}), [=](index row, index column) {
                    return static_cast<S>(dy.row(row)[column]) *
                           (static_cast<S>(x.row(row)[column]) - means[row]) * rstds[row];
                });
        if constexpr (Call::trains(bias{}))
            ops::add_column_sums<backend>(x.rows, Width, call.gradient(bias{}),
                                          [=](index row, index column) { return dy.row(row)[column]; });
        ops::for_each_row<backend>(x.rows, [=](auto team, index row) {
            kernels::layer_norm_backward(team, Width, x.row(row), dy.row(row), w, means[row], rstds[row],
                                         [=](index column, auto value) { dx(row, column, value); });
        });
    }
};

/// RMSNorm over the last dimension, with weight (Zhang and Sennrich, arXiv 1910.07467).
template <index Width, class Epsilon = std::ratio<1, 100000>>
struct rms_norm {
    static constexpr index input_width = Width;
    static constexpr index output_width = Width;
    static constexpr bool backward_writes_over_input = true;
    static constexpr bool cheap_to_recompute = true;
    static constexpr bool backward_writes_over_gradient = true;
    static constexpr double epsilon = static_cast<double>(Epsilon::num) / static_cast<double>(Epsilon::den);

    using weight = parameter<"weight", shape<Width>, initial::ones>;
    using parameters = meta::list<weight>;
    using rstd = saved_per_token<"rstd", statistic, 1>;
    using saved = meta::list<rstd>;

    template <class Call, class X, class Y>
    static void forward(Call const& call, X x, Y y) {
        auto const* const w = call.value(weight{});
        auto* const rstds = call.saved(rstd{});
        ops::for_each_row<typename Call::backend>(x.rows, [=](auto team, index row) {
            kernels::rms_norm_forward(team, Width, x.row(row), w, epsilon, rstds[row],
                                      [=](index column, auto value) { y(row, column, value); });
        });
    }

    template <class Call, class X, class Y, class DY, class DX>
    static void backward(Call const& call, X x, Y, DY dy, DX dx) {
        using backend = typename Call::backend;
        using S = typename Call::setting::statistic;
        auto const* const w = call.value(weight{});
        auto const* const rstds = call.saved(rstd{});
        if constexpr (Call::trains(weight{}))
            ops::add_column_sums<backend>(x.rows, Width, call.gradient(weight{}),
                                          [=](index row, index column) {
                                              return static_cast<S>(dy.row(row)[column]) *
                                                     static_cast<S>(x.row(row)[column]) * rstds[row];
                                          });
        ops::for_each_row<backend>(x.rows, [=](auto team, index row) {
            kernels::rms_norm_backward(team, Width, x.row(row), dy.row(row), w, rstds[row],
                                       [=](index column, auto value) { dx(row, column, value); });
        });
    }
};

}  // namespace snug
