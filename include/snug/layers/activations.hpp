// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <snug/kernels/activations.hpp>
#include <snug/kernels/elementwise.hpp>
#include <snug/kernels/store.hpp>
#include <snug/layers/layer.hpp>
#include <snug/ops/for_each_row.hpp>

namespace snug::SNUG_TARGET {

/// y = f(x), element by element. `Function` has two static functions, `value(x)` and `derivative(x)`, in one type that is given
/// (see kernels/elementwise.hpp). Between two layers whose products store (`stores_products`) it costs no pass over memory.
template <index_t Width, class Function>
struct elementwise {
    static constexpr index_t input_width = Width;
    static constexpr index_t output_width = Width;
    static constexpr bool backward_writes_over_input = true;
    static constexpr bool cheap_to_recompute = true;
    static constexpr bool backward_writes_over_gradient = true;
    using elementwise_function = Function;

    template <class Setting>
    static constexpr layer_work work() {
        return {.forward = {.bytes = bytes_of::rows<Setting>(input_width + output_width)},
                .backward = {.bytes = bytes_of::rows<Setting>(2 * input_width + output_width)}};
    }

    template <class Call, class X, class Y>
    static void forward(Call const& call, X x, Y y) {
        using S = typename Call::setting::statistic;
        ops::for_each_row<Width>(call.on, x.rows, ops::bound<kernels::value_row<Function, S>>(x, y));
    }

    template <class Call, class X, class Y, class DY, class DX>
    static void backward(Call const& call, X x, Y, DY dy, DX dx) {
        using S = typename Call::setting::statistic;
        ops::for_each_row<Width>(call.on, x.rows,
                                 ops::bound<kernels::derivative_row<Function, S>>(x, dy, dx));
    }
};

/// GELU, tanh form.
template <index_t Width>
struct gelu : elementwise<Width, kernels::gelu_function> {};

namespace detail {

/// y = f(gate) · up, where a row of x holds `Width` gates, then `Width` ups, for layers to derive from.
template <index_t Width, class Function>
struct gated {
    static constexpr index_t input_width = 2 * Width;
    static constexpr index_t output_width = Width;
    static constexpr bool backward_writes_over_input = true;
    static constexpr bool cheap_to_recompute = true;

    template <class Setting>
    static constexpr layer_work work() {
        return {.forward = {.bytes = bytes_of::rows<Setting>(input_width + output_width)},
                .backward = {.bytes = bytes_of::rows<Setting>(2 * input_width + output_width)}};
    }

    template <class Call, class X, class Y>
    static void forward(Call const& call, X x, Y y) {
        using S = typename Call::setting::statistic;
        ops::for_each_row<Width>(call.on, x.rows, ops::bound<forward_row<S>>(x, y));
    }

    template <class Call, class X, class Y, class DY, class DX>
    static void backward(Call const& call, X x, Y, DY dy, DX dx) {
        using S = typename Call::setting::statistic;
        ops::for_each_row<Width>(call.on, x.rows, ops::bound<backward_row<S>>(x, dy, dx));
    }

    // What is done to a row. Not private: a device compiler takes no private type into a kernel.
    template <class S>
    struct forward_row {
        constexpr void operator()(auto team, index_t row, auto x, auto y) const {
            auto const* const gate = x.aligned_row(row);
            auto const* const up = gate + Width;
            kernels::store_row(team, y, row, Width, [=](index_t i) {
                return Function::value(static_cast<S>(gate[i])) * static_cast<S>(up[i]);
            });
        }
    };
    template <class S>
    struct backward_row {
        constexpr void operator()(auto team, index_t row, auto x, auto dy, auto dx) const {
            auto const* const gate = x.aligned_row(row);
            auto const* const up = gate + Width;
            auto const* const d_out = dy.aligned_row(row);
            kernels::store_row_of_pairs(team, dx, row, Width, Width, [=](index_t i) {
                auto const g = static_cast<S>(gate[i]);
                auto const d = static_cast<S>(d_out[i]);
                return std::pair{d * static_cast<S>(up[i]) * Function::derivative(g), d * Function::value(g)};
            });
        }
    };
};

}  // namespace detail

/// SwiGLU (Shazeer, arXiv 2002.05202): y = SiLU(gate) · up, where a row of x holds `Width` gates, then `Width` ups.
template <index_t Width>
struct swiglu : detail::gated<Width, kernels::silu_function> {};

/// GeGLU (Shazeer, arXiv 2002.05202): y = GELU(gate) · up, GELU in its tanh form.
template <index_t Width>
struct geglu : detail::gated<Width, kernels::gelu_function> {};

}  // namespace snug::SNUG_TARGET
