// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <snug/kernels/store.hpp>

/// Kernels of one row, written over a team (a vectorised serial team on the host, a warp or block on a GPU):
/// `team.for_each(n, f)` and `team.template sum<S>(n, f)`. No launch, no memory.
namespace snug::SNUG_TARGET::kernels {

/// LayerNorm of one row (Ba et al., arXiv 1607.06450): y(row, i, (x[i] - mean) · rstd · weight[i] + bias[i]).
template <class Statistic, class Team, class X, class W, class Sink>
constexpr void layer_norm_forward(Team team, index_t width, X const* x, W const* weight, W const* bias,
                                  double epsilon, Statistic& mean_out, Statistic& rstd_out, Sink y,
                                  index_t row) {
    using S = Statistic;
    S const mean =
        team.template sum<S>(width, [=](index_t i) { return static_cast<S>(x[i]); }) / static_cast<S>(width);
    S const variance = team.template sum<S>(width, [=](index_t i) {
        S const difference = static_cast<S>(x[i]) - mean;
        return difference * difference;
    }) / static_cast<S>(width);
    S const rstd = S(1) / std::sqrt(variance + static_cast<S>(epsilon));
    mean_out = mean;
    rstd_out = rstd;
    store_row(team, y, row, width, [=](index_t i) {
        return (static_cast<S>(x[i]) - mean) * rstd * static_cast<S>(weight[i]) + static_cast<S>(bias[i]);
    });
}

template <class Statistic, class Team, class X, class W, class Sink>
constexpr void layer_norm_backward(Team team, index_t width, X const* x, X const* dy, W const* weight,
                                   Statistic mean, Statistic rstd, Sink y, index_t row) {
    using S = Statistic;
    S const mean_d = team.template sum<S>(width, [=](index_t i) {
        return static_cast<S>(dy[i]) * static_cast<S>(weight[i]);
    }) / static_cast<S>(width);
    S const mean_dx = team.template sum<S>(width, [=](index_t i) {
        return static_cast<S>(dy[i]) * static_cast<S>(weight[i]) * (static_cast<S>(x[i]) - mean) * rstd;
    }) / static_cast<S>(width);
    store_row(team, y, row, width, [=](index_t i) {
        S const normalised = (static_cast<S>(x[i]) - mean) * rstd;
        return rstd * (static_cast<S>(dy[i]) * static_cast<S>(weight[i]) - mean_d - normalised * mean_dx);
    });
}

/// Weights that are stored as what they are more than 1, as numbers of type S.
template <class S, class W>
struct one_more {
    W const* stored;
    constexpr S operator[](index_t i) const { return S(1) + static_cast<S>(stored[i]); }
};

/// RMSNorm of one row (Zhang and Sennrich, arXiv 1910.07467): y(row, i, x[i] · rstd · weight[i]). The weight is a
/// pointer, or `one_more` than what one points to.
template <class Statistic, class Team, class X, class Weight, class Sink>
constexpr void rms_norm_forward(Team team, index_t width, X const* x, Weight weight, double epsilon,
                                Statistic& rstd_out, Sink y, index_t row) {
    using S = Statistic;
    S const square = team.template sum<S>(width, [=](index_t i) {
        return static_cast<S>(x[i]) * static_cast<S>(x[i]);
    }) / static_cast<S>(width);
    S const rstd = S(1) / std::sqrt(square + static_cast<S>(epsilon));
    rstd_out = rstd;
    store_row(team, y, row, width,
              [=](index_t i) { return static_cast<S>(x[i]) * rstd * static_cast<S>(weight[i]); });
}

template <class Statistic, class Team, class X, class Weight, class Sink>
constexpr void rms_norm_backward(Team team, index_t width, X const* x, X const* dy, Weight weight,
                                 Statistic rstd, Sink y, index_t row) {
    using S = Statistic;
    S const mean_dx = team.template sum<S>(width, [=](index_t i) {
        return static_cast<S>(dy[i]) * static_cast<S>(weight[i]) * static_cast<S>(x[i]) * rstd;
    }) / static_cast<S>(width);
    store_row(team, y, row, width, [=](index_t i) {
        return rstd *
               (static_cast<S>(dy[i]) * static_cast<S>(weight[i]) - static_cast<S>(x[i]) * rstd * mean_dx);
    });
}

}  // namespace snug::SNUG_TARGET::kernels
