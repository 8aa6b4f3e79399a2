// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <snug/meta.hpp>
#include <snug/units.hpp>

/// The bill as a type: when a budget is broken, the compiler prints the names and arguments of these types; the names are
/// the labels.
namespace snug {

// clang-format off
// NOLINTBEGIN(readability-identifier-naming): units keep their capitals
template <index_t N> struct total_MiB { static constexpr index_t amount = N; };
template <index_t N> struct budget_MiB { static constexpr index_t amount = N; };
template <index_t> struct weights_MiB;
template <index_t> struct master_weights_MiB;
template <index_t> struct gradients_MiB;
template <index_t> struct optimizer_state_MiB;
template <index_t> struct activations_MiB;
template <index_t> struct workspace_MiB;
template <index_t> struct staging_MiB;
template <index_t> struct communication_MiB;
template <index_t N> struct least_MiB { static constexpr index_t amount = N; };
template <index_t> struct over_by_MiB;
template <index_t> struct over_budget_by_MiB;
template <index_t> struct over_budget_by_bytes;
// NOLINTEND(readability-identifier-naming)
// clang-format on

namespace diagnose {

/// Rounded up: a line that is not empty never prints as 0.
constexpr index_t mebibytes(bytes amount) { return (amount.count + (index_t{1} << 20) - 1) >> 20; }

// A string as a template argument is a sentence in g++'s errors, and a list of character codes in others'.
#if defined(__GNUC__) && !defined(__clang__) && !defined(__CUDACC__)
#define SNUG_RENDERS_TEXT_IN_ERRORS 1
#else
#define SNUG_RENDERS_TEXT_IN_ERRORS 0
#endif

/// A sentence of bounded length, as a template argument.
struct sentence {
    char characters[320] = {};

    constexpr sentence& operator+=(char const* words) {
        auto end = length();
        while (*words != '\0' && end + 1 < sizeof(characters)) characters[end++] = *words++;
        return *this;
    }
    constexpr std::size_t length() const {
        std::size_t n = 0;
        while (characters[n] != '\0') ++n;
        return n;
    }
};

constexpr sentence& line(sentence& text, char const* label, bytes amount, char const* end = "; ") {
    return ((text += label) += to_string(amount).c_str()) += end;
}

template <sentence>
struct which_says;

/// A name letter by letter, for compilers that print a sentence as numbers.
template <char... Letters>
struct spelled;
template <class... Names>
struct the_nearest;

}  // namespace diagnose

/// A line for each part of the bill, which may share memory when they are not needed at the same time, so the total is at
/// most their sum. What overflows comes last.
template <class Total, class Budget, class... Lines>
struct bill {
    static constexpr index_t total = Total::amount;
    static constexpr index_t budget = Budget::amount;
};

}  // namespace snug

namespace snug::SNUG_TARGET {

namespace refusal {

/// Instantiated when a trainer must fit: says so, with every line of the bill in the type's name.
template <index_t TotalMiB, index_t BudgetMiB, class Bill>
struct the_training_step_does_not_fit_its_memory_budget {
    static_assert(
        TotalMiB <= BudgetMiB,
        "snug: the training step does not fit its memory budget; snug::bill<...> says what each line takes, "
        "in MiB. What makes it smaller: a smaller snug::batch with accumulation::micro_batches, "
        "checkpointing::every_block, precision::mixed<bf16>, an optimizer with fewer states");
};

}  // namespace refusal
}  // namespace snug::SNUG_TARGET
