// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <snug/kernels/norm.hpp>
#include <snug/layers/initial.hpp>
#include <snug/layers/layer.hpp>
#include <snug/ops/for_each_row.hpp>
#include <snug/ops/for_each_row_with_column_sums.hpp>

namespace snug::SNUG_TARGET {

namespace layer {

/// What `snug::norms` trains beside an adapter derives from it.
struct norm {};

}  // namespace layer

/// LayerNorm over the last dimension, with weight and bias (Ba et al., arXiv 1607.06450).
template <index_t Width, class Epsilon = std::ratio<1, 100000>>
struct layer_norm : layer::norm {
    static constexpr index_t input_width = Width;
    static constexpr index_t output_width = Width;
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

    template <class Setting>
    static constexpr index_t backward_workspace() {
        using backend = typename Setting::backend;
        using gradient = typename Setting::gradient;
        if (!Setting::trains(weight{})) return 0;
        return ops::rows_with_column_sums_workspace<backend, gradient>(Setting::rows, Width, 2);
    }

    template <class Setting>
    static constexpr layer_work work() {
        constexpr auto statistics = bytes_of::buffer<Setting>(mean{}) + bytes_of::buffer<Setting>(rstd{});
        return {
            .forward = {.bytes = bytes_of::rows<Setting>(2 * Width) + bytes_of::values<Setting>(weight{}) +
                                 bytes_of::values<Setting>(bias{}) + statistics},
            .backward = {.bytes = bytes_of::rows<Setting>(3 * Width) + bytes_of::values<Setting>(weight{}) +
                                  bytes_of::gradient<Setting>(weight{}) +
                                  bytes_of::gradient<Setting>(bias{}) + statistics}};
    }

    template <class Call, class X, class Y>
    static void forward(Call const& call, X x, Y y) {
        ops::for_each_row<Width>(call.on, x.rows,
                                 ops::bound<forward_row>(x, call.value(weight{}), call.value(bias{}),
                                                         call.saved(mean{}), call.saved(rstd{}), y));
    }

    template <class Call, class X, class Y, class DY, class DX>
    static void backward(Call const& call, X x, Y, DY dy, DX dx) {
        auto const* const means = call.saved(mean{});
        auto const* const rstds = call.saved(rstd{});
        auto const rows = ops::bound<backward_row>(x, dy, call.value(weight{}), means, rstds, dx);
        // Both train or neither does. dx may lie where x or dy lies.
        if constexpr (Call::trains(weight{}))
            ops::for_each_row_with_column_sums<Width>(
                call.on, x.rows, call.workspace(), rows,
                ops::column_sum{call.gradient(weight{}), ops::bound<weight_gradient>(x, dy, means, rstds)},
                ops::column_sum{call.gradient(bias{}), elements_of{dy}});
        else ops::for_each_row<Width>(call.on, x.rows, rows);
    }

    // What is done to a row. Not private: a device compiler takes no private type into a kernel.
    struct forward_row {
        constexpr void operator()(auto team, index_t row, auto x, auto weight, auto bias, auto means,
                                  auto rstds, auto y) const {
            kernels::layer_norm_forward(team, Width, x.aligned_row(row), aligned<Width>(weight),
                                        aligned<Width>(bias), epsilon, means[row], rstds[row], y, row);
        }
    };
    struct weight_gradient {
        constexpr auto operator()(index_t row, index_t column, auto x, auto dy, auto means,
                                  auto rstds) const {
            using S = std::remove_const_t<std::remove_reference_t<decltype(rstds[row])>>;
            return static_cast<S>(dy.aligned_row(row)[column]) *
                   (static_cast<S>(x.aligned_row(row)[column]) - means[row]) * rstds[row];
        }
    };
    struct backward_row {
        constexpr void operator()(auto team, index_t row, auto x, auto dy, auto weight, auto means,
                                  auto rstds, auto dx) const {
            kernels::layer_norm_backward(team, Width, x.aligned_row(row), dy.aligned_row(row),
                                         aligned<Width>(weight), means[row], rstds[row], dx, row);
        }
    };
};

namespace detail {

/// The weights of a row of RMSNorm in numbers of type S, which are 1 + what is stored where that is `ZeroCentered`.
template <bool ZeroCentered, index_t Width, class S, class W>
constexpr auto rms_norm_weights(W const* weight) {
    if constexpr (ZeroCentered) return kernels::one_more<S, W>{aligned<Width>(weight)};
    else return aligned<Width>(weight);
}

/// RMSNorm, for layers to derive from.
template <index_t Width, class Epsilon, bool ZeroCentered>
struct normalises : layer::norm {
    static constexpr index_t input_width = Width;
    static constexpr index_t output_width = Width;
    static constexpr bool backward_writes_over_input = true;
    static constexpr bool cheap_to_recompute = true;
    static constexpr bool backward_writes_over_gradient = true;
    static constexpr double epsilon = static_cast<double>(Epsilon::num) / static_cast<double>(Epsilon::den);

    using weight =
        parameter<"weight", shape<Width>, std::conditional_t<ZeroCentered, initial::zeros, initial::ones>>;
    using parameters = meta::list<weight>;
    using rstd = saved_per_token<"rstd", statistic, 1>;
    using saved = meta::list<rstd>;

    template <class Setting>
    static constexpr index_t backward_workspace() {
        using backend = typename Setting::backend;
        using gradient = typename Setting::gradient;
        if (!Setting::trains(weight{})) return 0;
        return ops::rows_with_column_sums_workspace<backend, gradient>(Setting::rows, Width, 1);
    }

    template <class Setting>
    static constexpr layer_work work() {
        constexpr auto statistics = bytes_of::buffer<Setting>(rstd{});
        return {
            .forward = {.bytes = bytes_of::rows<Setting>(2 * Width) + bytes_of::values<Setting>(weight{}) +
                                 statistics},
            .backward = {.bytes = bytes_of::rows<Setting>(3 * Width) + bytes_of::values<Setting>(weight{}) +
                                  bytes_of::gradient<Setting>(weight{}) + statistics}};
    }

    template <class Call, class X, class Y>
    static void forward(Call const& call, X x, Y y) {
        ops::for_each_row<Width>(call.on, x.rows,
                                 ops::bound<forward_row>(x, call.value(weight{}), call.saved(rstd{}), y));
    }

    template <class Call, class X, class Y, class DY, class DX>
    static void backward(Call const& call, X x, Y, DY dy, DX dx) {
        auto const* const rstds = call.saved(rstd{});
        auto const rows = ops::bound<backward_row>(x, dy, call.value(weight{}), rstds, dx);
        // dx may lie where x or dy lies.
        if constexpr (Call::trains(weight{}))
            ops::for_each_row_with_column_sums<Width>(
                call.on, x.rows, call.workspace(), rows,
                ops::column_sum{call.gradient(weight{}), ops::bound<weight_gradient>(x, dy, rstds)});
        else ops::for_each_row<Width>(call.on, x.rows, rows);
    }

    // What is done to a row. Not private: a device compiler takes no private type into a kernel.
    struct forward_row {
        constexpr void operator()(auto team, index_t row, auto x, auto weight, auto rstds, auto y) const {
            using S = std::remove_reference_t<decltype(rstds[row])>;
            kernels::rms_norm_forward(team, Width, x.aligned_row(row),
                                      rms_norm_weights<ZeroCentered, Width, S>(weight), epsilon, rstds[row],
                                      y, row);
        }
    };
    struct weight_gradient {
        constexpr auto operator()(index_t row, index_t column, auto x, auto dy, auto rstds) const {
            using S = std::remove_const_t<std::remove_reference_t<decltype(rstds[row])>>;
            return static_cast<S>(dy.aligned_row(row)[column]) * static_cast<S>(x.aligned_row(row)[column]) *
                   rstds[row];
        }
    };
    struct backward_row {
        constexpr void operator()(auto team, index_t row, auto x, auto dy, auto weight, auto rstds,
                                  auto dx) const {
            using S = std::remove_const_t<std::remove_reference_t<decltype(rstds[row])>>;
            kernels::rms_norm_backward(team, Width, x.aligned_row(row), dy.aligned_row(row),
                                       rms_norm_weights<ZeroCentered, Width, S>(weight), rstds[row], dx, row);
        }
    };
};

}  // namespace detail

/// RMSNorm over the last dimension, with weight (Zhang and Sennrich, arXiv 1910.07467).
template <index_t Width, class Epsilon = std::ratio<1, 100000>>
struct rms_norm : detail::normalises<Width, Epsilon, false> {};

/// RMSNorm whose factors are 1 + weight (Gemma, arXiv 2403.08295): a weight of 0 changes nothing, and decay draws it
/// there.
template <index_t Width, class Epsilon = std::ratio<1, 100000>>
struct zero_centered_rms_norm : detail::normalises<Width, Epsilon, true> {};

}  // namespace snug::SNUG_TARGET
