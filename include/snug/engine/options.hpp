// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <snug/error.hpp>
#include <snug/optimizers/groups.hpp>
#include <snug/optimizers/optimizer.hpp>
#include <snug/optimizers/schedule.hpp>
#include <span>
#include <string>
#include <vector>

namespace snug::SNUG_TARGET {

struct generation_options {
    index_t tokens = 100;      ///< at most so many new ones, and no more once a sequence of the batch is full
    double temperature = 1.0;  ///< 0 takes the likeliest token
    index_t top_k = 0;         ///< only the k likeliest; 0: all
    std::uint64_t seed = 0;
    std::vector<std::int32_t> ends{};  ///< tokens that end the text, and are not part of it

    /// Throws `snug::error`, by the name of the number, unless all of them can be meant.
    void check(index_t vocabulary) const {
        detail::require_setting(tokens >= 0, "tokens", tokens, "a number that is not negative");
        detail::require_not_negative("temperature", temperature);
        detail::require_setting(top_k >= 0, "top_k", top_k, "a number that is not negative; 0 for all");
        for (auto const token : ends)
            if (token < 0 || token >= vocabulary)
                throw error({}, "a token of ends = " + std::to_string(token),
                            "a token of the vocabulary of " + std::to_string(vocabulary));
    }
};

/// What is accepted of weights that come from outside.
struct load_options {
    /// NaN and infinity, and numbers that are infinite in the type that stores them, are taken as they are
    /// instead of refused. What a quantization scheme stores is finite in any case.
    bool allow_not_finite = false;
};

/// The run-time numbers of training. Everything that changes memory is a policy instead.
template <class Optimizer>
struct training_options {
    schedule learning_rate{};
    double weight_decay = 0.1;         ///< on matrices only, unless a group says otherwise
    double largest_gradient_norm = 1;  ///< clipping by the global norm; 0: none
    std::uint64_t dropout_seed = 0;    ///< of an adapter's dropout, together with the step
    typename Optimizer::options optimizer{};
    std::vector<parameter_group> groups{};  ///< rates and decay of some of the parameters

    /// Throws `snug::error`, by the name of the number, for what no step can mean: before a step, which then
    /// changes nothing.
    void check() const {
        learning_rate.check();
        detail::require_not_negative("options.weight_decay", weight_decay);
        detail::require_not_negative("options.largest_gradient_norm", largest_gradient_norm);
        check_optimizer(optimizer);
    }

    /// Throws for what this step, of these parameters, cannot mean either. The learning rate is asked for once.
    double checked_learning_rate(index_t step, std::span<parameter_entry const> parameters) const {
        check();
        double const rate = learning_rate(step);
        if (!std::isfinite(rate) || rate < 0)
            throw error({},
                        "a learning rate of " + detail::number_as_text(rate) + " in step " +
                            std::to_string(step) + " from the function in options.learning_rate",
                        "a finite number that is not negative");
        auto const largest = std::max(rate, learning_rate.largest());
        detail::require_setting(largest * weight_decay <= 1, "options.learning_rate * options.weight_decay",
                                largest * weight_decay, "at most 1: a weight decays to 0 and no further");
        optimizers::require_groups(parameters, groups, weight_decay, largest);
        return rate;
    }
};

}  // namespace snug::SNUG_TARGET
