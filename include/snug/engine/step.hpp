// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <snug/engine/accumulate.hpp>
#include <snug/engine/update.hpp>

namespace snug::SNUG_TARGET::engine {

/// One optimizer step. A device is waited for once, when all of it is under way.
template <class C>
step_result train_step(store<C>& s, training_options<typename C::optimizer> const& options,
                       token_batch const& batch) {
    auto result = begin_passes(s, options, batch, "agreement on a step");
    begin_update(s, options, result.learning_rate, losses::apart);
    auto const numbers = s.found();
    result.loss = numbers.loss / static_cast<double>(result.tokens);
    return finish_update(s, result, numbers);
}

}  // namespace snug::SNUG_TARGET::engine
