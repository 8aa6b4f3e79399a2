// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <snug/kernels/activations.hpp>
#include <snug/layers/layer.hpp>
#include <snug/ops/backend.hpp>

namespace snug {

/// GELU, tanh form, element by element.
template <index Width>
struct gelu {
    static constexpr index input_width = Width;
    static constexpr index output_width = Width;
    static constexpr bool backward_writes_over_input = true;
    static constexpr bool cheap_to_recompute = true;
    static constexpr bool backward_writes_over_gradient = true;

    template <class Call, class X, class Y>
    static void forward(Call const&, X x, Y y) {
        using S = typename Call::setting::statistic;
        ops::for_each_row<typename Call::backend>(x.rows, [=](auto team, index row) {
            auto const* const in = x.row(row);
            team.for_each(Width, [=](index i) { y(row, i, kernels::gelu(static_cast<S>(in[i]))); });
        });
    }

    template <class Call, class X, class Y, class DY, class DX>
    static void backward(Call const&, X x, Y, DY dy, DX dx) {
        using S = typename Call::setting::statistic;
        ops::for_each_row<typename Call::backend>(x.rows, [=](auto team, index row) {
            auto const* const in = x.row(row);
            auto const* const d_out = dy.row(row);
            team.for_each(Width, [=](index i) {
                dx(row, i, static_cast<S>(d_out[i]) * kernels::gelu_derivative(static_cast<S>(in[i])));
            });
        });
    }
};

/// SwiGLU (Shazeer, arXiv 2002.05202): y = SiLU(gate) · up, where a row of x holds `Width` gates, then `Width` ups.
template <index Width>
struct swiglu {
    static constexpr index input_width = 2 * Width;
    static constexpr index output_width = Width;
    static constexpr bool backward_writes_over_input = true;
    static constexpr bool cheap_to_recompute = true;

    template <class Call, class X, class Y>
    static void forward(Call const&, X x, Y y) {
        using S = typename Call::setting::statistic;
        ops::for_each_row<typename Call::backend>(x.rows, [=](auto team, index row) {
            auto const* const gate = x.row(row);
            auto const* const up = gate + Width;
            team.for_each(Width, [=](index i) {
                y(row, i, kernels::silu(static_cast<S>(gate[i])) * static_cast<S>(up[i]));
            });
        });
    }

    template <class Call, class X, class Y, class DY, class DX>
    static void backward(Call const&, X x, Y, DY dy, DX dx) {
        using S = typename Call::setting::statistic;
        ops::for_each_row<typename Call::backend>(x.rows, [=](auto team, index row) {
            auto const* const in = x.row(row);
            auto const* const d_out = dy.row(row);
            team.for_each(Width, [=](index i) {
                auto const gate = static_cast<S>(in[i]);
                auto const up = static_cast<S>(in[i + Width]);
                auto const d = static_cast<S>(d_out[i]);
                dx(row, i, d * up * kernels::silu_derivative(gate));
                dx(row, i + Width, d * kernels::silu(gate));
            });
        });
    }
};

}  // namespace snug
