// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <snug/engine/accumulate.hpp>
#include <snug/engine/executor.hpp>
#include <snug/engine/results.hpp>
#include <snug/engine/store.hpp>
#include <snug/ops/copy.hpp>
#include <vector>

/// Loss and perplexity without gradients.
namespace snug::SNUG_TARGET::engine {

/// Adds up the loss of a batch, over all ranks.
template <class C>
double sum_of_losses(store<C>& s, token_batch const& batch) {
    s.done.kept = 0;
    executor<C> walker(s.view(), s.on(), span_of_micro_batch<C>);
    step_numbers const numbers;
    ops::copy_in(s.on(), s.numbers(), &numbers, sizeof numbers);
    for (index_t m = 0; m < C::micro_batches; ++m) {
        stage(s, batch, m, walker);
        with_rooms(s, walker, walk::evaluation, [&] {
            C::model::walk_forward(walker);
            walker.evaluate();
        });
        if constexpr (C::is_sharded) set_aside_loss(s, m);
    }
    if constexpr (C::is_sharded) {
        gather_verdicts(s);
        sum_losses(s);
    }
    return s.found().loss;
}

/// What is to be evaluated at once, over all ranks.
struct evaluated_at_once {
    index_t counted = 0;  ///< tokens
    index_t batches = 0;  ///< a rank that has none any more makes the calls of the others
};

template <class C>
evaluated_at_once count_evaluated(store<C> const& s, token_batch const* batch) {
    if constexpr (C::is_sharded) {
        // One number travels: at most every rank has a batch.
        constexpr index_t unit = C::ranks + 1;
        auto const sum = agree_on(s, "agreement on an evaluation", [&](distributed::statement& mine) {
            if (batch != nullptr) mine.counted = count_targets(*batch, shape_of_batch<C>) * unit + 1;
        });
        return {sum / unit, sum % unit};
    } else {
        return {require_batch(*batch, shape_of_batch<C>), 1};
    }
}

template <class C>
evaluation evaluate_batch(store<C>& s, token_batch const& batch) {
    auto const counted = count_evaluated(s, &batch).counted;
    require_counted(counted);
    auto const loss = sum_of_losses(s, batch) / static_cast<double>(counted);
    return {loss, std::exp(loss), counted};
}

/// The mean over all counted tokens of a range of batches; of several ranks each has its own range, and they need not
/// be of one length.
template <class C, class Batches>
evaluation evaluate_batches(store<C>& s, Batches&& batches) {
    evaluation total;
    auto const add = [&](token_batch const* batch, token_batch const& evaluated) {
        auto const [counted, of_ranks] = count_evaluated(s, batch);
        if (of_ranks == 0) return false;
        total.loss += sum_of_losses(s, evaluated);
        total.tokens += counted;
        return true;
    };
    for (auto const& batch : batches) {
        token_batch const one(batch);
        add(&one, one);
    }
    if constexpr (C::is_sharded) {
        // While other ranks go on, this one makes their calls with a batch of which nothing is counted.
        std::vector<std::int32_t> const tokens(static_cast<std::size_t>(C::micro_batches * C::setting::rows),
                                               0);
        std::vector<std::int32_t> const targets(tokens.size(), -1);
        while (add(nullptr, {tokens, targets, {}})) {
        }
    }
    if (total.tokens == 0) throw error({}, "no batch to evaluate", "at least one");
    total.loss /= static_cast<double>(total.tokens);
    total.perplexity = std::exp(total.loss);
    return total;
}

}  // namespace snug::SNUG_TARGET::engine
