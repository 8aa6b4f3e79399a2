// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>
#include <concepts>
#include <memory>
#include <numbers>
#include <snug/diagnose/require.hpp>
#include <snug/meta.hpp>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

namespace snug::SNUG_TARGET {

namespace refusal {

template <class Given>
struct a_learning_rate_is_a_number_or_a_function_of_the_step {
    static constexpr bool holds = requires(Given const& rate, index_t step) {
        { rate(step) } -> std::convertible_to<double>;
    };
    static_assert(
        holds,
        "snug: options.learning_rate is a number, a schedule such as snug::schedule::linear{...}, or a "
        "function of the step: [](snug::index_t step) { return 1e-3 / step; }. It is called as const, "
        "so a lambda is not 'mutable', and returns a number (see Given)");
};

}  // namespace refusal

/// The learning rate over the steps of a run, which count from 1: a number, which is constant; one of the schedules
/// below, by its named numbers; or a function of one's own, `double(snug::index_t step)` or nearly so:
///
///     run.options.learning_rate = 3e-4;
///     run.options.learning_rate = snug::schedule::linear{.peak = 1e-3, .warm_up = 100, .total = 2000};
///     run.options.learning_rate = [](snug::index_t step) { return step < 500 ? 1e-3 : 1e-4; };
///
/// A function is a function of the step alone: of no clock, loss or number that changes, else a resumed run would not
/// be the one that went on, nor ranks agree. It is called once by each `step`, `accumulate` and `update`, on their
/// thread. What it throws, or a result that is negative or not finite, ends the step before anything has changed.
///
/// Ready-made ones warm up linearly, step · peak / warm_up, so that step `warm_up` is the first with the peak; the
/// first step of a scheduler of PyTorch's, which counts from 0, is their step 0. Numbers that make no schedule are
/// refused before a step (`check`).
class schedule {
  public:
    /// A warm-up to `peak`, then a cosine down to `peak · floor` at step `total` (Loshchilov and Hutter, arXiv
    /// 1608.03983), which it keeps: peak (floor + (1 - floor) (1 + cos π t) / 2), where t goes from 0 to 1. With
    /// `total` 0 it stays at its peak.
    struct cosine {
        double peak = 3e-4;
        index_t warm_up = 0;
        index_t total = 0;
        double floor = 0.1;

        void check() const { require_warm_up(peak, warm_up, total, floor, true); }
        double largest() const { return peak * std::max(1.0, floor); }
        double operator()(index_t step) const {
            if (step <= warm_up) return warming(peak, step, warm_up);
            if (total <= warm_up) return peak;
            if (step >= total) return peak * floor;
            double const progress =
                static_cast<double>(step - warm_up) / static_cast<double>(total - warm_up);
            return peak * (floor + (1 - floor) * 0.5 * (1 + std::cos(std::numbers::pi * progress)));
        }
    };

    /// A warm-up to `peak`, then a straight line down to `peak · floor` at step `total`, which it keeps (Devlin et al.,
    /// "BERT", arXiv 1810.04805): peak (floor + (1 - floor) (total - step) / (total - warm_up)).
    struct linear {
        double peak = 3e-4;
        index_t warm_up = 0;
        index_t total = 0;
        double floor = 0;

        void check() const { require_warm_up(peak, warm_up, total, floor, false); }
        double largest() const { return peak * std::max(1.0, floor); }
        double operator()(index_t step) const {
            if (step <= warm_up) return warming(peak, step, warm_up);
            if (step >= total) return peak * floor;
            double const left = static_cast<double>(total - step) / static_cast<double>(total - warm_up);
            return peak * (floor + (1 - floor) * left);
        }
    };

    /// How a schedule comes down, over t from 0 to 1: 1 - t, (1 + cos π t) / 2, or 1 - √t (Hägele et al., arXiv
    /// 2405.18392).
    enum class shape { linear, cosine, one_minus_square_root };

    /// WSD (Hu et al., "MiniCPM", arXiv 2404.06395): a warm-up to `peak`, which it keeps, and in the last `decay` steps
    /// before step `total` down to `peak · floor`, which it keeps: peak (floor + (1 - floor) shape(t)). While `total`
    /// is 0 it stays at its peak: the end may be decided later, from any snapshot.
    struct warm_up_stable_decay {
        double peak = 3e-4;
        index_t warm_up = 0;
        index_t decay = 0;
        index_t total = 0;
        double floor = 0;
        schedule::shape shape = schedule::shape::linear;

        void check() const {
            require_warm_up(peak, warm_up, 0, floor, true);
            detail::require_setting(decay >= 0, "options.learning_rate.decay", decay,
                                    "a number of steps that is not negative");
            if (total != 0 && (total < warm_up || total - warm_up < decay))
                throw error({}, "options.learning_rate.total = " + std::to_string(total),
                            "at least the " + std::to_string(warm_up) + " steps of the warm-up and the " +
                                std::to_string(decay) + " of the decay, or 0 to stay at the peak");
        }
        double largest() const { return peak * std::max(1.0, floor); }
        double operator()(index_t step) const {
            if (step < warm_up) return warming(peak, step, warm_up);
            if (total == 0 || step <= total - decay) return peak;
            if (step >= total) return peak * floor;
            double const t = static_cast<double>(step - (total - decay)) / static_cast<double>(decay);
            return peak * (floor + (1 - floor) * at(t));
        }

      private:
        double at(double t) const {
            switch (shape) {
            case schedule::shape::cosine: return 0.5 * (1 + std::cos(std::numbers::pi * t));
            case schedule::shape::one_minus_square_root: return 1 - std::sqrt(t);
            default: return 1 - t;
            }
        }
    };

    /// A warm-up to `peak`, then peak √(warm_up / step) (Vaswani et al., arXiv 1706.03762, whose peak is 1 / √(width ·
    /// warm_up)). It has no end.
    struct inverse_square_root {
        double peak = 3e-4;
        index_t warm_up = 10000;

        void check() const {
            detail::require_not_negative("options.learning_rate.peak", peak);
            detail::require_setting(warm_up >= 1, "options.learning_rate.warm_up", warm_up,
                                    "at least one step, from which on it falls");
        }
        double largest() const { return peak; }
        double operator()(index_t step) const {
            if (step <= warm_up) return warming(peak, step, warm_up);
            return peak * std::sqrt(static_cast<double>(warm_up) / static_cast<double>(step));
        }
    };

    /// From `low` to `peak` in `up` steps, back in `down`, and again (Smith, "Cyclical learning rates", arXiv
    /// 1506.01186, "triangular"). The n-th peak, from n = 0, is low + (peak - low) shrinkⁿ: a half is Smith's
    /// "triangular2".
    struct cyclic {
        double low = 0;
        double peak = 3e-4;
        index_t up = 2000;
        index_t down = 2000;
        double shrink = 1;

        void check() const {
            detail::require_not_negative("options.learning_rate.low", low);
            detail::require_not_negative("options.learning_rate.peak", peak);
            detail::require_setting(shrink >= 0 && shrink <= 1, "options.learning_rate.shrink", shrink,
                                    "from 0 to 1");
            for (auto const& [name, steps] : {std::pair<std::string_view, index_t>{"up", up}, {"down", down}})
                if (steps < 1 || steps > longest)
                    throw error({},
                                "options.learning_rate." + std::string(name) + " = " + std::to_string(steps),
                                "at least one step");
        }
        double largest() const { return std::max(low, peak); }
        double operator()(index_t step) const {
            auto const within = step % (up + down);
            double const height = within <= up
                                      ? static_cast<double>(within) / static_cast<double>(up)
                                      : static_cast<double>(up + down - within) / static_cast<double>(down);
            index_t const cycle = step / (up + down);
            return low + (peak - low) * height * std::pow(shrink, static_cast<double>(cycle));
        }

      private:
        static constexpr index_t longest = index_t{1} << 53;
    };

    /// The same rate in every step.
    schedule(double rate = 3e-4) : constant_(rate) {}  // NOLINT: a number is a schedule
    /// A schedule of the above, or a function of one's own.
    template <class Rate>
        requires(!std::is_arithmetic_v<Rate> && !std::same_as<Rate, schedule>)
    schedule(Rate rate) {  // NOLINT: so is a function
        using given = refusal::a_learning_rate_is_a_number_or_a_function_of_the_step<Rate>;
        static_assert(sizeof(given) > 0);
        if constexpr (given::holds) {
            function_ = std::make_shared<Rate const>(std::move(rate));
            asked_ = &answers<Rate>;
        }
    }

    static schedule constant(double rate) { return rate; }
    static schedule warm_up_cosine(double peak, index_t warm_up, index_t total, double floor = 0.1) {
        return cosine{peak, warm_up, total, floor};
    }

    /// The rate of a step, which counts from 1.
    double operator()(index_t step) const {
        return function_ ? asked_->rate(function_.get(), step) : constant_;
    }

    /// Throws `snug::error`, by the name of the number, unless rates are finite and not negative, steps are not
    /// negative, and a total, if there is one, is more than the warm-up.
    void check() const {
        if (function_) asked_->check(function_.get());
        else detail::require_not_negative("options.learning_rate", constant_);
    }

    /// The largest rate of all steps, as far as that is known without asking for them; else 0.
    double largest() const { return function_ ? asked_->largest(function_.get()) : constant_; }

  private:
    static double warming(double peak, index_t step, index_t warm_up) {
        return peak * static_cast<double>(step) / static_cast<double>(warm_up);
    }
    static void require_warm_up(double peak, index_t warm_up, index_t total, double floor,
                                bool may_be_endless) {
        detail::require_not_negative("options.learning_rate.peak", peak);
        detail::require_not_negative("options.learning_rate.floor", floor);
        detail::require_not_negative("options.learning_rate.peak * floor", peak * std::max(1.0, floor));
        detail::require_setting(warm_up >= 0, "options.learning_rate.warm_up", warm_up,
                                "a number of steps that is not negative");
        if ((total != 0 || !may_be_endless) && total <= warm_up)
            throw error({}, "options.learning_rate.total = " + std::to_string(total),
                        "more steps than the " + std::to_string(warm_up) + " of the warm-up" +
                            (may_be_endless ? ", or 0 to stay at the peak" : ""));
    }

    /// What a function answers, whose type is forgotten.
    struct questions {
        double (*rate)(void const*, index_t);
        void (*check)(void const*);
        double (*largest)(void const*);
    };
    template <class Rate>
    static Rate const& as(void const* function) {
        return *static_cast<Rate const*>(function);
    }
    template <class Rate>
    static constexpr bool is_ready_made = requires(Rate const& rate) {
        rate.check();
        { rate.largest() } -> std::convertible_to<double>;
    };
    template <class Rate>
    static constexpr questions answers{
        [](void const* function, index_t step) { return static_cast<double>(as<Rate>(function)(step)); },
        [](void const* function) {
            if constexpr (is_ready_made<Rate>) as<Rate>(function).check();
        },
        [](void const* function) {
            if constexpr (is_ready_made<Rate>) return static_cast<double>(as<Rate>(function).largest());
            else return 0.0;
        }};

    std::shared_ptr<void const> function_{};  ///< nothing: the rate is constant
    questions const* asked_ = nullptr;
    double constant_ = 0;
};

}  // namespace snug::SNUG_TARGET
