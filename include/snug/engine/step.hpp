// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <snug/engine/accumulate.hpp>
#include <snug/engine/update.hpp>

namespace snug::SNUG_TARGET::engine {

/// One optimizer step. A device is waited for once, when all of it is under way.
template <class C>
step_result train_step(store<C>& s, training_options<typename C::optimizer> const& options,
                       token_batch const& batch) {
    auto const counted = begin_passes(s, options, batch, "agreement on a step");
    begin_update(s, options, losses::apart);
    auto const numbers = s.found();
    return finish_update(s, options, {numbers.loss / static_cast<double>(counted), 0, 0, counted}, numbers);
}

}  // namespace snug::SNUG_TARGET::engine
