// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <snug/diagnose/bill.hpp>
#include <snug/memory/devices.hpp>
#include <snug/memory/plan.hpp>

namespace snug::SNUG_TARGET {

/// A `trainer<...>`, an alias of one, or a struct derived from one.
template <class T>
concept any_trainer = requires {
    typename T::trainer_type;
};

/// A budget offers `memory` and `reserve`, both `bytes`: a device of `snug::devices`, or `budget<24_GiB>`.
template <class B>
concept memory_budget = requires {
    { B::memory } -> std::convertible_to<bytes>;
    { B::reserve } -> std::convertible_to<bytes>;
};

namespace refusal {

template <class Given>
struct this_is_not_a_trainer {
    static_assert(
        any_trainer<Given>,
        "snug: this takes a snug::trainer<...>, an alias of one, or a struct derived from one (see Given)");
};

template <class Given>
struct this_is_not_a_budget {
    static_assert(
        memory_budget<Given>,
        "snug: a budget is one of snug::devices, a snug::budget<24_GiB>, or a struct with 'memory' and "
        "'reserve' in snug::bytes (see Given)");
};

}  // namespace refusal

namespace detail {

template <class T>
struct trainer_behind {
    static_assert(sizeof(refusal::this_is_not_a_trainer<T>) > 0);
    // Stands in for the trainer, so that the refusal is the only error.
    struct type {
        struct composition {
            static constexpr memory_bill bill{};
        };
    };
};
template <any_trainer T>
struct trainer_behind<T> {
    using type = typename T::trainer_type;
};

/// The trainer that T is or derives from.
template <class T>
using trainer_of = typename trainer_behind<T>::type;

}  // namespace detail

/// The bill of a trainer, exact to the byte and known at compile time: `footprint<T>.weights`, ..., `.total`, which is
/// what the trainer allocates.
template <class T>
inline constexpr memory_bill footprint = detail::trainer_of<T>::composition::bill;

/// The bill of T beside the budget B, as a type that compilers print.
template <class T, memory_budget B>
struct bill_against {
    static constexpr memory_bill lines = footprint<T>;
    static constexpr bytes available = B::memory - B::reserve;
    static constexpr bytes over = std::max(lines.total - available, bytes{});
    // Rounded up and down, so that the comparison in MiB agrees with the one in bytes.
    static constexpr index_t total = diagnose::mebibytes(lines.total);
    static constexpr index_t budget = over > bytes{} ? std::min(available.count >> 20, total - 1)
                                                     : std::max(available.count >> 20, total);

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
#endif
    using type = bill<total_MiB<total>, budget_MiB<budget>, weights_MiB<diagnose::mebibytes(lines.weights)>,
                      master_weights_MiB<diagnose::mebibytes(lines.master_weights)>,
                      gradients_MiB<diagnose::mebibytes(lines.gradients)>,
                      optimizer_state_MiB<diagnose::mebibytes(lines.optimizer_state)>,
                      activations_MiB<diagnose::mebibytes(lines.activations)>,
                      workspace_MiB<diagnose::mebibytes(lines.workspace)>,
                      staging_MiB<diagnose::mebibytes(lines.staging)>,
                      communication_MiB<diagnose::mebibytes(lines.communication)>,
                      // An excess that would round to 1 MiB is exact.
                      std::conditional_t<(over < 1_MiB), over_budget_by_bytes<over.count>,
                                         over_budget_by_MiB<diagnose::mebibytes(over)>>
#if SNUG_RENDERS_TEXT_IN_ERRORS
                      ,
                      diagnose::which_says<words>
#endif
                      >;
};

namespace detail {
// A concept over the finished bill: what a compiler prints of a failed one is the bill, not how it was made.
template <class Bill>
concept within_budget = (Bill::total <= Bill::budget);
}  // namespace detail

/// The whole training step of T fits the budget B: a proof, not an estimate. A failing `static_assert(fits<T, B>)`
/// prints the bill; nvcc prints nothing for a failed concept, so in .cu files use `require_fit`.
template <class T, class B>
concept fits = any_trainer<T> && memory_budget<B> && detail::within_budget<typename bill_against<T, B>::type>;

/// Instantiate it to require that T fits B: `template struct snug::require_fit<T, B>;`. Says the same as `fits`,
/// on every compiler.
template <class T, class B>
struct require_fit {
    // In the body of the class: nvcc does not instantiate the initialiser of a static member that nobody reads.
    static_assert(sizeof(refusal::this_is_not_a_budget<B>) > 0);
    using bill =
        typename bill_against<T, std::conditional_t<memory_budget<B>, B, budget<footprint<T>.total>>>::type;
    static_assert(
        sizeof(refusal::the_training_step_does_not_fit_its_memory_budget<bill::total, bill::budget, bill>) >
        0);
};

}  // namespace snug::SNUG_TARGET
