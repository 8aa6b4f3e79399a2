// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <snug/kernels/random.hpp>
#include <snug/meta.hpp>
#include <snug/optimizers/state_block.hpp>
#include <snug/precision/rounding.hpp>
#include <tuple>
#include <type_traits>

/// The update of elements and the number that clips it, as named function objects for `ops`.
namespace snug::optimizers {

/// From the sum of the gradients' squares what an update multiplies them with: 1 / `loss_scale`, and less when their norm is
/// above `largest_norm` (0: any norm will do). NaN when the sum is not finite. Works on numbers with `gradient_squares` and
/// `gradient_scale`.
struct clip {
    template <class Numbers>
    constexpr void operator()(index_t, Numbers* numbers, double loss_scale, double largest_norm) const {
        double const norm = std::sqrt(numbers->gradient_squares) / loss_scale;
        double scale = 1 / loss_scale;
        if (largest_norm > 0 && norm + 1e-6 > largest_norm) scale *= largest_norm / (norm + 1e-6);
        bool const finite = norm <= std::numeric_limits<double>::max();
        numbers->gradient_scale = finite ? scale : std::numeric_limits<double>::quiet_NaN();
    }
};

/// What an update needs beside the rule, for elements from the first of `weight` on.
template <class Updated, class Weight, class Gradient>
struct updated_tensor {
    Updated* master;  ///< the weights themselves where there is no master copy
    Weight* weight;
    Gradient* gradient;
    double const* gradient_scale;
    std::uint64_t step, stream;  ///< of stochastic rounding
    index_t first;               ///< so many elements of the tensor stand before these
};

/// One element: rule, rounding, and a gradient that is zero again. `Sum` is the type of the arithmetic. `Guarded`: where the
/// gradient's scale is NaN nothing but the gradient changes (on a device, where nobody looks before the update runs).
template <class Sum, bool Stochastic, bool HasMaster, bool Guarded>
struct update_element {
    template <class Rule, class Tensor, class... States>
    constexpr void operator()(index_t i, Rule const& rule, Tensor const& t, States&... states) const {
        auto const scale = static_cast<Sum>(*t.gradient_scale);
        if constexpr (Guarded)
            if (scale != scale) {
                t.gradient[i] = zero(t.gradient);
                return;
            }
        Sum const value =
            rule(static_cast<Sum>(t.master[i]), static_cast<Sum>(t.gradient[i]) * scale, states...);
        using weight = std::remove_reference_t<decltype(*t.weight)>;
        if constexpr (Stochastic) {
            // Keyed by step, tensor and element: the same bits at any thread count, and after a resume.
            auto const bits = random::bits(t.step, t.stream, static_cast<std::uint64_t>(t.first + i));
            t.weight[i] = round_stochastic<weight>(value, static_cast<std::uint32_t>(bits));
        } else {
            t.master[i] = static_cast<std::remove_reference_t<decltype(*t.master)>>(value);
            if constexpr (HasMaster) t.weight[i] = static_cast<weight>(value);
        }
        t.gradient[i] = zero(t.gradient);
    }

  private:
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
        Update{}(i, rule, tensor, states[i]...);
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
                team.for_each_owned(here, [=, &window...](index_t i) {
                    Update{}(begin + i, rule, tensor, window.values[i]...);
                });
                (window.store(here), ...);
            },
            windows);
    }
};

}  // namespace snug::optimizers
