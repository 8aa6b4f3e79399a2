// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdint>
#include <limits>
#include <snug/kernels/elements.hpp>
#include <snug/kernels/exact_sum.hpp>
#include <snug/meta.hpp>
#include <snug/optimizers/state_block.hpp>
#include <snug/precision/bf16.hpp>
#include <snug/precision/rounding.hpp>
#include <snug/random.hpp>
#include <tuple>
#include <type_traits>

/// The update of elements and the number that clips it, as named function objects for `ops`.
namespace snug::SNUG_TARGET::optimizers {

/// From the gradients' squares their sum and what an update multiplies them with: 1 / `loss_scale`, and less when their norm is
/// above `largest_norm` (0: any norm will do). NaN, so that nothing changes, when the sum or the loss is not finite, and when every
/// gradient is exactly 0 although the loss is above `vanished_above`. Works on numbers with `loss`, `gradient_squares` and
/// `gradient_scale`.
struct clip {
    template <class Numbers>
    constexpr void operator()(index_t, Numbers* numbers, kernels::exact_sum const* squares, double loss_scale,
                              double largest_norm, double vanished_above) const {
        constexpr double largest = std::numeric_limits<double>::max();
        numbers->gradient_squares = squares->value();
        double const norm = std::sqrt(numbers->gradient_squares) / loss_scale;
        double scale = 1 / loss_scale;
        if (largest_norm > 0 && norm + 1e-6 > largest_norm) scale *= largest_norm / (norm + 1e-6);
        bool const finite = norm <= largest && numbers->loss <= largest && numbers->loss >= -largest;
        bool const vanished = norm == 0 && numbers->loss > vanished_above;
        numbers->gradient_scale = finite && !vanished ? scale : std::numeric_limits<double>::quiet_NaN();
    }
};

/// What an update needs beside the rule, for elements from the first of `weight` on.
template <class Updated, class Weight, class Gradient>
struct updated_tensor {
    Updated* master;  ///< the weights themselves where there is no master copy
    Weight* weight;
    Gradient* gradient;
    double const* gradient_scale;
    double* not_finite;          ///< 1 is stored there when what an update stored is not finite
    std::uint64_t step, stream;  ///< of stochastic rounding
    index_t first;               ///< so many elements of the tensor stand before these
};

/// One element: rule, rounding, and a gradient that is zero again. Returns 0, or NaN when the weight or a state is not finite as it
/// is stored (or their sum, which costs less to ask): x - x is 0 for what is finite only, and sums of it need no
/// branch. `Sum` is the type of the arithmetic. `Guarded`: where the gradient's scale is NaN nothing changes (on a
/// device, where nobody looks before the update runs).
template <class Sum, bool Stochastic, bool HasMaster, bool Guarded>
struct update_element {
    using sum = Sum;

    template <class Rule, class Tensor, class... States>
    constexpr Sum operator()(index_t i, Rule const& rule, Tensor const& t, States&... states) const {
        auto const scale = static_cast<Sum>(*t.gradient_scale);
        if constexpr (Guarded)
            if (scale != scale) return Sum(0);
        Sum const value =
            rule(static_cast<Sum>(t.master[i]), static_cast<Sum>(t.gradient[i]) * scale, states...);
        using weight = std::remove_reference_t<decltype(*t.weight)>;
        Sum const states_and_value = (static_cast<Sum>(states) + ... + reach<weight>(value));
        if constexpr (Stochastic) {
            // Keyed by step, tensor and element: the same bits at any thread count, and after a resume.
            auto const bits = random::bits(t.step, t.stream, static_cast<std::uint64_t>(t.first + i));
            t.weight[i] = round_stochastic<weight>(value, static_cast<std::uint32_t>(bits));
        } else {
            t.master[i] = static_cast<std::remove_reference_t<decltype(*t.master)>>(value);
            if constexpr (HasMaster) t.weight[i] = static_cast<weight>(value);
        }
        t.gradient[i] = zero(t.gradient);
        Sum const doubt = states_and_value - states_and_value;
        if constexpr (is_bounded_by_sum<weight>) {
            return doubt;
        } else {
            auto const stored = static_cast<Sum>(kernels::as_double(t.weight[i]));
            return doubt + (stored - stored);
        }
    }

    template <class Tensor>
    static constexpr void report(Sum doubt, Tensor const& t) {
        if (doubt == Sum(0)) return;
        // Threads of a device that store one value do not disturb each other.
        if constexpr (Guarded) *t.not_finite = 1;
        else std::atomic_ref<double>(*t.not_finite).store(1, std::memory_order_relaxed);
    }

  private:
    /// A value that is finite in Sum is finite as a weight, or nearly so.
    template <class Weight>
    static constexpr bool is_bounded_by_sum = std::is_same_v<Weight, Sum> ||
                                              (std::is_same_v<Weight, bf16> && std::is_same_v<Sum, float>);
    /// The value, or the largest that bf16, which has the range of float, makes of it.
    template <class Weight>
    static constexpr Sum reach(Sum value) {
        if constexpr (std::is_same_v<Weight, bf16>) return value * Sum(1.0078125);
        else return value;
    }
    template <class T>
    static constexpr T zero(T*) {
        return static_cast<T>(Sum(0));
    }
};

/// The same for `ops::for_each_element`, with the states as arrays.
template <class Update>
struct update_elements {
    template <class Rule, class Tensor, class... States>
    constexpr void operator()(index_t i, Rule rule, Tensor tensor, States*... states) const {
        Update::report(Update{}(i, rule, tensor, states[i]...), tensor);
    }
};

/// The same for `ops::for_each_row`, where a row is `Length` elements: one report for all of them, so that vector instructions work
/// on elements.
template <class Update, index_t Length>
struct update_runs {
    template <class Team, class Rule, class Tensor, class... States>
    constexpr void operator()(Team team, index_t run, Rule rule, Tensor tensor, index_t count,
                              States*... states) const {
        auto const first = run * Length;
        Update::report(
            team.template sum<typename Update::sum>(
                std::min(Length, count - first),
                [=](index_t i) { return Update{}(first + i, rule, tensor, states[first + i]...); }),
            tensor);
    }
};

/// The same for `ops::for_each_row`, with states of which some are in blocks: row b is the b-th run of `Unit` elements.
template <class Update, index_t Unit, class... Units>
struct update_blocks {
    template <class Team, class Rule, class Tensor>
    constexpr void operator()(Team team, index_t b, Rule rule, Tensor tensor, index_t count,
                              Units*... states) const {
        auto const begin = b * Unit;
        auto const here = std::min(Unit, count - begin);
        auto windows = std::tuple{typename window_of<Team, Units>::type(states, begin)...};
        std::apply(
            [&](auto&... window) {
                auto const update = [=, &window...](index_t i) {
                    return Update{}(begin + i, rule, tensor, window.values[i]...);
                };
                if constexpr (Team::lanes == 1)
                    Update::report(team.template sum<typename Update::sum>(here, update), tensor);
                else team.for_each_owned(here, [=](index_t i) { Update::report(update(i), tensor); });
                (window.store(here), ...);
            },
            windows);
    }
};

}  // namespace snug::SNUG_TARGET::optimizers
