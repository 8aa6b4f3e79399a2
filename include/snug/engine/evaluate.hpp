// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <snug/engine/accumulate.hpp>
#include <snug/engine/executor.hpp>
#include <snug/engine/results.hpp>
#include <snug/engine/store.hpp>
#include <snug/ops/copy.hpp>

/// Loss and perplexity without gradients.
namespace snug::SNUG_TARGET::engine {

template <class C>
evaluation evaluate_batch(store<C>& s, token_batch const& batch) {
    auto const counted = require_batch(batch, shape_of_batch<C>);
    s.done.kept = 0;
    executor<C> walker(s.view(), s.on(), span_of_micro_batch<C>);
    step_numbers const numbers;
    ops::copy_in(s.on(), s.numbers(), &numbers, sizeof numbers);
    for (index_t m = 0; m < C::micro_batches; ++m) {
        stage(s, batch, m, walker);
        C::model::walk_forward(walker);
        walker.evaluate();
    }
    auto const loss = s.found().loss / static_cast<double>(counted);
    return {loss, std::exp(loss), counted};
}

/// The mean over all counted tokens of a range of batches.
template <class C, class Batches>
evaluation evaluate_batches(store<C>& s, Batches&& batches) {
    evaluation total;
    for (auto const& batch : batches) {
        auto const one = evaluate_batch(s, token_batch(batch));
        total.loss += one.loss * static_cast<double>(one.tokens);
        total.tokens += one.tokens;
    }
    if (total.tokens == 0) throw error({}, "no batch to evaluate", "at least one");
    total.loss /= static_cast<double>(total.tokens);
    total.perplexity = std::exp(total.loss);
    return total;
}

}  // namespace snug::SNUG_TARGET::engine
