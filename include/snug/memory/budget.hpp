// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <snug/diagnose/bill.hpp>
#include <snug/memory/devices.hpp>
#include <snug/memory/plan.hpp>

namespace snug {

namespace detail {

/// The trainer that T is or derives from.
template <class T>
using trainer_of = typename T::trainer_type;

}  // namespace detail

/// The bill of a trainer, exact to the byte and known at compile time: `footprint<T>.weights`, ..., `.total`, which is
/// what the trainer allocates. T is a `trainer<...>`, an alias of one, or a struct derived from one.
template <class T>
inline constexpr memory_bill footprint = detail::trainer_of<T>::composition::bill;

/// A budget offers `memory` and `reserve`, both `bytes`: a device of `snug::devices`, or `budget<24_GiB>`.
template <class B>
concept memory_budget = requires {
    { B::memory } -> std::convertible_to<bytes>;
    { B::reserve } -> std::convertible_to<bytes>;
};

/// The bill of T beside the budget B, as a type that compilers print.
template <class T, memory_budget B>
struct bill_against {
    static constexpr memory_bill lines = footprint<T>;
    static constexpr bytes available = B::memory - B::reserve;
    static constexpr bytes over = lines.total > available ? lines.total - available : bytes{};
    // Rounded up and down, so that the comparison in MiB agrees with the one in bytes.
    static constexpr index total_MiB = diagnose::mebibytes(lines.total);
    static constexpr index budget_MiB = over.count > 0 && (available.count >> 20) >= total_MiB ? total_MiB - 1
                                        : over.count == 0 && (available.count >> 20) < total_MiB ? total_MiB
                                                                                                 : available.count >> 20;

#if SNUG_RENDERS_TEXT_IN_ERRORS
    static constexpr diagnose::sentence words = [] {
        diagnose::sentence text;
        auto const add = [&](char const* label, bytes amount) {
            if (amount.count > 0) diagnose::line(text, label, amount);
        };
        add("weights ", lines.weights);
        add("master weights ", lines.master_weights);
        add("gradients ", lines.gradients);
        add("optimizer state ", lines.optimizer_state);
        add("activations ", lines.activations);
        add("workspace ", lines.workspace);
        add("staging ", lines.staging);
        add("communication ", lines.communication);
        add("total ", lines.total);
        diagnose::line(text, "budget ", available, over.count > 0 ? "; " : "");
        if (over.count > 0) diagnose::line(text, "over by ", over, "");
        return text;
    }();
    using type = bill<total_MiB, budget_MiB, weights_MiB<diagnose::mebibytes(lines.weights)>,
                      master_weights_MiB<diagnose::mebibytes(lines.master_weights)>,
                      gradients_MiB<diagnose::mebibytes(lines.gradients)>,
                      optimizer_state_MiB<diagnose::mebibytes(lines.optimizer_state)>,
                      activations_MiB<diagnose::mebibytes(lines.activations)>,
                      workspace_MiB<diagnose::mebibytes(lines.workspace)>,
                      staging_MiB<diagnose::mebibytes(lines.staging)>,
                      communication_MiB<diagnose::mebibytes(lines.communication)>,
                      over_budget_by_MiB<diagnose::mebibytes(over)>, diagnose::which_says<words>>;
#else
    using type = bill<total_MiB, budget_MiB, weights_MiB<diagnose::mebibytes(lines.weights)>,
                      master_weights_MiB<diagnose::mebibytes(lines.master_weights)>,
                      gradients_MiB<diagnose::mebibytes(lines.gradients)>,
                      optimizer_state_MiB<diagnose::mebibytes(lines.optimizer_state)>,
                      activations_MiB<diagnose::mebibytes(lines.activations)>,
                      workspace_MiB<diagnose::mebibytes(lines.workspace)>,
                      staging_MiB<diagnose::mebibytes(lines.staging)>,
                      communication_MiB<diagnose::mebibytes(lines.communication)>,
                      over_budget_by_MiB<diagnose::mebibytes(over)>>;
#endif
};

namespace detail {
// A concept over the finished bill: what a compiler prints of a failed one is the bill, not how it was made.
template <class Bill>
concept within_budget = (Bill::total_MiB <= Bill::budget_MiB);
}  // namespace detail

/// The whole training step of T fits the budget B: a proof, not an estimate. A failing `static_assert(fits<T, B>)`
/// prints the bill; nvcc prints nothing for a failed concept, so in .cu files use `require_fit`.
template <class T, class B>
concept fits = memory_budget<B> && detail::within_budget<typename bill_against<T, B>::type>;

/// Instantiate it to require that T fits B: `template struct snug::require_fit<T, B>;`. Says the same as `fits`,
/// on every compiler.
template <class T, memory_budget B>
struct require_fit {
    using bill = typename bill_against<T, B>::type;
    static constexpr std::size_t checked =
        sizeof(refusal::the_training_step_does_not_fit_its_memory_budget<bill::total_MiB, bill::budget_MiB, bill>);
};

}  // namespace snug
