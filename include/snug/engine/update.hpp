// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <snug/engine/diagnose.hpp>
#include <snug/engine/options.hpp>
#include <snug/engine/pages.hpp>
#include <snug/engine/reduce.hpp>
#include <snug/engine/refresh.hpp>
#include <snug/engine/results.hpp>
#include <snug/engine/store.hpp>
#include <snug/engine/verdicts.hpp>
#include <snug/kernels/elements.hpp>
#include <snug/kernels/exact_sum.hpp>
#include <snug/ops/add_exact_sum.hpp>
#include <snug/ops/add_sum.hpp>
#include <snug/ops/for_each_element.hpp>
#include <snug/ops/for_each_row.hpp>
#include <snug/ops/operation.hpp>
#include <snug/ops/pages.hpp>
#include <snug/optimizers/optimizer.hpp>
#include <snug/optimizers/update.hpp>
#include <utility>

/// The second half of a step: the norm of all gradients, and the optimizer's rule on every parameter.
namespace snug::SNUG_TARGET::engine {

/// The rule on elements [first, first + count) of all copies of a parameter; `states` are those of the first
/// of them, in units of elements or blocks.
template <class C, class Rule, class... Units>
void apply_rule(store<C> const& s, int p, Rule const& rule, index_t first, index_t count, Units*... states) {
    using sum = typename C::precision::statistic;
    using weight = typename C::precision::weight;
    using gradient = typename C::precision::gradient;
    constexpr bool is_ahead = runs_ahead<typename C::backend>;
    auto const memory = s.view();
    auto* const weights = memory.template in<weight>(C::weight(p), p, first);
    auto* const updated = [&] {
        if constexpr (C::has_master) return memory.template in<typename C::updated>(C::master(p), p, first);
        else return weights;
    }();
    optimizers::updated_tensor<typename C::updated, weight, gradient> const tensor{
        updated,
        weights,
        memory.template in<gradient>(C::gradient(p), p, first),
        &s.numbers()->gradient_scale,
        &s.numbers()->not_finite,
        static_cast<std::uint64_t>(s.done.steps + 1),
        static_cast<std::uint64_t>(p),
        first};
    using update = optimizers::update_element<sum, rounds_stochastically<typename C::precision>,
                                              C::has_master, is_ahead>;
    constexpr index_t unit = std::max({optimizers::elements_of_unit<Units>..., index_t{1}});
    if constexpr (unit == 1 && is_ahead) {
        ops::for_each_element(s.on(), count,
                              ops::bound<optimizers::update_elements<update>>(rule, tensor, states...));
    } else if constexpr (unit == 1) {
        constexpr index_t length = 16384;
        ops::for_each_row<length>(
            s.on(), (count + length - 1) / length,
            ops::bound<optimizers::update_runs<update, length>>(rule, tensor, count, states...));
    } else {
        ops::for_each_row<unit>(
            s.on(), (count + unit - 1) / unit,
            ops::bound<optimizers::update_blocks<update, unit, Units...>>(rule, tensor, count, states...));
    }
}

/// Copies of a parameter that follow each other.
struct run_of_copies {
    index_t first = 0;
    index_t count = 0;
};

/// The update of copies of one parameter whose states are in units of these types: elements, or blocks of them.
template <class... Units, class C, class Rule, std::size_t... S>
void update_in_units(store<C> const& s, int p, run_of_copies of, Rule const& rule,
                     std::index_sequence<S...>) {
    auto const length = C::entry(p).count;
    constexpr bool in_blocks = (optimizers::elements_of_unit<Units> * ... * 1) > 1;
    auto const memory = s.view();
    auto const state = [&]<class Unit>(Unit*, std::size_t which, index_t first) {
        return memory.template at<Unit>(C::state(static_cast<int>(which), p), first / length,
                                        first % length / optimizers::elements_of_unit<Unit>);
    };
    auto const update = [&](index_t first, index_t count) {
        if constexpr (C::has_pages)
            stream_pages(
                s, count,
                [&](index_t begin, index_t in_page, auto*... states) {
                    apply_rule(s, p, rule, first + begin, in_page, states...);
                },
                state(static_cast<Units*>(nullptr), S, first)...);
        else apply_rule(s, p, rule, first, count, state(static_cast<Units*>(nullptr), S, first)...);
    };
    memory.for_each_stretch(p, part::own, [&](index_t first, index_t count) {
        // Those of other copies have other numbers.
        auto const end = std::min(first + count, (of.first + of.count) * length);
        first = std::max(first, of.first * length);
        if (first >= end) return;
        if constexpr (!in_blocks && !C::has_pages) {
            update(first, end - first);
        } else {
            // Blocks and pages do not run on from one copy to the next.
            for (count = end - first; first < end; first += std::min(count, length))
                update(first, std::min(count, length));
        }
    });
}

/// The type of a state in blocks; of one that is not, of its elements.
template <class State>
struct unit_of {
    using type = typename State::element;
};
template <class State>
    requires may_be_in_blocks<State>
struct unit_of<State> {
    using type = typename State::block;
};

template <class C, class Rule, class... State>
void update_parameter(store<C> const& s, int p, run_of_copies of, Rule const& rule, meta::list<State...>) {
    constexpr auto all = std::index_sequence_for<State...>{};
    if constexpr ((may_be_in_blocks<State> || ...))
        if ((is_in_blocks<State>(C::entry(p).count) || ...))
            return update_in_units<typename unit_of<State>::type...>(s, p, of, rule, all);
    update_in_units<typename State::element...>(s, p, of, rule, all);
}

/// The losses of ranks are added already, or travel with the sums of their squares.
enum class losses { added, apart };

/// Adds up the squares of all gradients exactly, and from that decides what an update multiplies them with.
template <class C>
void clip_gradients(store<C>& s, double largest_norm, [[maybe_unused]] losses are) {
    auto* const numbers = s.numbers();
    // In the room of other sums, which begin and end within an operation.
    static_assert(sizeof(kernels::exact_sum) <= ops::sum_partials * sizeof(double));
    auto* const sum = s.template at<kernels::exact_sum>(C::places.partial_sums);
    auto* const squares = [&] {
        if constexpr (C::is_sharded) return verdicts_of(s).squares(s.ranks.rank());
        else return sum;
    }();
    ops::for_each_element(s.on(), kernels::exact_sum::size, ops::bound<kernels::set_to_zero>(squares->parts));
    for (int p = 0; p < C::parameters; ++p) {
        using gradient = typename C::precision::gradient;
        if (!C::entry(p).is_trained()) continue;
        auto const memory = s.view();
        memory.for_each_stretch(p, part::own, [&](index_t first, index_t count) {
            // The runs of an exact sum begin anew with every copy.
            auto const length = std::min(count, C::entry(p).count);
            ops::add_exact_sum(s.on(), count / length, length, squares,
                               ops::bound<kernels::square_of>(static_cast<gradient const*>(
                                   memory.template in<gradient>(C::gradient(p), p, first))));
        });
    }
    if constexpr (C::is_sharded) {
        gather_verdicts(s);
        if (are == losses::apart) sum_losses(s);
        // Of ranks that update all weights each has the whole sum.
        ops::for_each_element(
            s.on(), kernels::exact_sum::size,
            ops::bound<add_squares>(
                sum->parts,
                static_cast<std::int64_t const*>(
                    verdicts_of(s).squares(C::sharding::stage == 0 ? s.ranks.rank() : 0)->parts),
                C::verdict_size / index_t{sizeof(std::int64_t)}, C::sharding::stage == 0 ? 1 : C::shards));
    }
    // Under a loss scale gradients that vanish are tried again with another one, else only a number of such
    // steps is an error.
    bool const may_vanish = !scales_loss<typename C::precision> && s.done.vanished + 1 < most_vanished;
    auto const vanished_above = may_vanish ? std::numeric_limits<double>::infinity()
                                           : loss_at_a_minimum * static_cast<double>(s.done.accumulated);
    ops::for_each_element(s.on(), 1,
                          ops::bound<optimizers::clip>(numbers, static_cast<kernels::exact_sum const*>(sum),
                                                       s.loss_scale(), largest_norm, vanished_above));
}

/// Puts the update under way. Gradients that are not finite, or not there, change nothing.
template <class C>
void begin_update(store<C>& s, training_options<typename C::optimizer> const& options, double learning_rate,
                  losses are) {
    if constexpr (C::is_sharded)
        if constexpr (adds_at_the_end<C>) repeat(s, repeated::reduction, [&] { reduce_gradients(s); });
    clip_gradients(s, options.largest_gradient_norm, are);
    if constexpr (!runs_ahead<typename C::backend>)
        if (!std::isfinite(s.numbers()->gradient_scale)) return;
    update_numbers numbers;
    numbers.step = s.done.steps + 1;
    for (int p = 0; p < C::parameters; ++p) {
        if (!C::entry(p).is_trained()) continue;
        optimizers::for_each_run_of_copies(
            C::entry(p), options.groups, options.weight_decay,
            [&](index_t first, index_t copies, optimizers::group_numbers const& its) {
                numbers.learning_rate = learning_rate * its.learning_rate;
                numbers.weight_decay = its.weight_decay;
                update_parameter(s, p, {first, copies}, C::optimizer::rule(options.optimizer, numbers),
                                 typename C::optimizer::states{});
            });
    }
    if constexpr (C::has_pages) ops::pages_are_away(s.on());
    if constexpr (C::is_sharded)
        if constexpr (gathers_after_update<C>) repeat(s, repeated::gathering, [&] { gather_weights(s); });
    refresh_derived(s);
}

/// After the update: what it has found, counted and refused.
template <class C>
step_result finish_update(store<C>& s, step_result result, step_numbers const& numbers) {
    auto& done = s.done;
    result.gradient_norm = std::sqrt(numbers.gradient_squares) / s.loss_scale();
    bool const vanished = numbers.gradient_squares == 0 &&
                          numbers.loss > loss_at_a_minimum * static_cast<double>(done.accumulated);
    done.accumulated = 0;
    done.accumulated_batches = 0;
    if (!std::isfinite(numbers.gradient_scale)) {
        bool goes_on = false;
        if constexpr (scales_loss<typename C::precision>)
            goes_on = vanished ? done.scale.gradient_vanished() : done.scale.gradient_overflowed();
        if (!goes_on) refuse_gradient(s, result, numbers);
        clear_gradients(s);
        result.skipped = true;
        return result;
    }
    auto not_finite = numbers.not_finite;
    // A rank that updates a share knows of no other: 8 bytes from each to each.
    if constexpr (C::updates_share)
        for (auto const theirs : from_all_ranks(s, "agreement on an update", numbers.not_finite))
            not_finite += theirs;
    ++done.steps;
    done.vanished = vanished ? done.vanished + 1 : 0;
    if constexpr (scales_loss<typename C::precision>) done.scale.step_was_good();
    if (not_finite != 0) refuse_update(s, result);
    return result;
}

template <class C>
step_result update_weights(store<C>& s, training_options<typename C::optimizer> const& options,
                           step_result result) {
    auto const check = [&] {
        if (s.done.accumulated == 0)
            throw error({}, "an update without gradients: nothing was accumulated since the last one",
                        "a call of accumulate before it");
        result.learning_rate = options.checked_learning_rate(s.done.steps + 1, C::parameter_table.entries);
    };
    if constexpr (C::is_sharded)
        agree_on(s, "agreement on an update", [&](distributed::statement& mine) {
            check();
            mine.options = hash_of(options, result.learning_rate);
        });
    else check();
    begin_update(s, options, result.learning_rate, losses::added);
    return finish_update(s, result, s.found());
}

}  // namespace snug::SNUG_TARGET::engine
