// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <snug/data/token_batch.hpp>
#include <snug/engine/executor.hpp>
#include <snug/engine/options.hpp>
#include <snug/engine/results.hpp>
#include <snug/engine/store.hpp>
#include <snug/ops/copy.hpp>
#include <snug/ops/run_recorded.hpp>
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

/// Puts the passes of all micro-batches under way; returns the number of counted tokens.
template <class C>
index_t begin_passes(store<C>& s, token_batch const& batch, std::uint64_t dropout_seed) {
    auto const counted = require_batch(batch, shape_of_batch<C>);
    s.done.kept = 0;
    step_numbers numbers;
    numbers.loss_scale = s.loss_scale() / static_cast<double>(counted);
    ops::copy_in(s.on(), s.numbers(), &numbers, sizeof numbers);
    executor<C> walker(s.view(), s.on(), span_of_micro_batch<C>);
    walker.draw();
    for (index_t m = 0; m < C::micro_batches; ++m) {
        stage(s, batch, m, walker);
        auto const passes_before =
            static_cast<std::uint64_t>(s.done.accumulated_batches * C::micro_batches + m);
        auto const key = random::bits(dropout_seed, static_cast<std::uint64_t>(s.done.steps), passes_before);
        ops::copy_in(s.on(), &s.numbers()->dropout_key, &key, sizeof key);
        ops::run_recorded(s.on(), s.recordings[batch.starts.empty() ? 0 : 1],
                          [&] { C::model::walk_training(walker); });
    }
    s.done.accumulated = counted;
    ++s.done.accumulated_batches;
    return counted;
}

template <class C>
step_result accumulate_gradients(store<C>& s, training_options<typename C::optimizer> const& options,
                                 token_batch const& batch) {
    auto const counted = begin_passes(s, batch, options.dropout_seed);
    return {s.found().loss / static_cast<double>(counted), 0, 0, counted};
}

}  // namespace snug::SNUG_TARGET::engine
