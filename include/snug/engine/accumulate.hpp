// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <snug/data/token_batch.hpp>
#include <snug/engine/executor.hpp>
#include <snug/engine/messages.hpp>
#include <snug/engine/options.hpp>
#include <snug/engine/results.hpp>
#include <snug/engine/store.hpp>
#include <snug/engine/units.hpp>
#include <snug/engine/verdicts.hpp>
#include <snug/ops/copy.hpp>
#include <snug/random.hpp>

/// The first half of a step: forward and backward of all micro-batches.
namespace snug::SNUG_TARGET::engine {

template <class C>
inline constexpr batch_shape shape_of_batch{C::micro_batches * C::batch::sequences, C::batch::tokens,
                                            C::model::vocabulary};
template <class C>
inline constexpr span_of_tokens span_of_micro_batch{C::batch::sequences, C::batch::tokens, 0};

/// One micro-batch of a batch to where the model reads it.
template <class C>
void stage(store<C> const& s, token_batch const& batch, index_t micro_batch, executor<C>& walker) {
    constexpr auto rows = static_cast<std::size_t>(C::setting::rows);
    auto const copy = [&](int buffer, std::span<std::int32_t const> from) {
        auto const part = from.subspan(static_cast<std::size_t>(micro_batch) * rows, rows);
        ops::copy_in(s.on(), s.template at<std::int32_t>(C::buffer(buffer)), part.data(), part.size_bytes());
    };
    copy(C::model::tokens, batch.inputs);
    copy(C::model::targets, batch.targets);
    if (batch.starts.empty()) return;
    copy(C::model::starts, batch.starts);
    walker.separate_examples();
}

/// What dropout of a micro-batch is a function of: its number among all that the gradients of a step come from, on
/// all ranks.
template <class C>
std::uint64_t dropout_key(store<C> const& s, std::uint64_t seed, index_t micro_batch) {
    auto const number =
        (s.done.accumulated_batches * C::micro_batches + micro_batch) * C::ranks + s.ranks.rank();
    return random::bits(seed, static_cast<std::uint64_t>(s.done.steps), static_cast<std::uint64_t>(number));
}

/// Puts the passes of all micro-batches under way. Of the result there are the learning rate of the step that
/// they are of, and the number of counted tokens, over all ranks.
template <class C>
step_result begin_passes(store<C>& s, training_options<typename C::optimizer> const& options,
                         token_batch const& batch, [[maybe_unused]] char const* what) {
    step_result result;
    // What a device repeats it repeats on all ranks or on none.
    bool is_everybodys = true;
    result.tokens = [&] {
        auto const check = [&] {
            result.learning_rate =
                options.checked_learning_rate(s.done.steps + 1, C::parameter_table.entries);
        };
        if constexpr (C::is_sharded) {
            // One number travels: at most every rank has several examples in a row. A rank of whose tokens none is
            // counted takes part all the same.
            constexpr index_t unit = C::ranks + 1;
            auto const sum = agree_on(s, what, [&](distributed::statement& mine) {
                check();
                mine.options = hash_of(options, result.learning_rate);
                mine.counted =
                    count_targets(batch, shape_of_batch<C>) * unit + (batch.starts.empty() ? 0 : 1);
            });
            require_counted(sum / unit);
            is_everybodys = sum % unit == 0 || sum % unit == C::ranks;
            return sum / unit;
        } else {
            check();
            return require_batch(batch, shape_of_batch<C>);
        }
    }();
    s.done.kept = 0;
    step_numbers numbers;
    numbers.loss_scale = s.loss_scale() / static_cast<double>(result.tokens);
    ops::copy_in(s.on(), s.numbers(), &numbers, sizeof numbers);
    executor<C> walker(s.view(), s.on(), span_of_micro_batch<C>);
    walker.train();
    for (index_t m = 0; m < C::micro_batches; ++m) {
        stage(s, batch, m, walker);
        auto const key = dropout_key(s, options.dropout_seed, m);
        ops::copy_in(s.on(), &s.numbers()->dropout_key, &key, sizeof key);
        auto const passes = [&] {
            with_rooms(s, walker, walk::training, [&] { C::model::walk_training(walker); });
        };
        if (is_everybodys)
            repeat(s, batch.starts.empty() ? repeated::passes : repeated::passes_of_examples, passes);
        else passes();
        if constexpr (C::is_sharded) set_aside_loss(s, m);
    }
    s.done.accumulated = result.tokens;
    ++s.done.accumulated_batches;
    return result;
}

template <class C>
step_result accumulate_gradients(store<C>& s, training_options<typename C::optimizer> const& options,
                                 token_batch const& batch) {
    auto result = begin_passes(s, options, batch, "agreement on an accumulation");
    if constexpr (C::is_sharded) {
        gather_verdicts(s);
        sum_losses(s);
    }
    result.loss = s.found().loss / static_cast<double>(result.tokens);
    return result;
}

}  // namespace snug::SNUG_TARGET::engine
