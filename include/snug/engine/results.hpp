// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ostream>
#include <snug/meta.hpp>

namespace snug::SNUG_TARGET {

/// What one optimizer step did.
struct step_result {
    double loss = 0;           ///< mean over the counted tokens, in nats, before the update
    double gradient_norm = 0;  ///< global 2-norm, before clipping
    double learning_rate = 0;
    index_t tokens = 0;    ///< counted
    bool skipped = false;  ///< a gradient overflowed under a loss scale: the weights are unchanged

    friend std::ostream& operator<<(std::ostream& out, step_result const& r) {
        return out << "loss " << r.loss << "  gradient norm " << r.gradient_norm << "  learning rate "
                   << r.learning_rate << "  tokens " << r.tokens;
    }
};

struct evaluation {
    double loss = 0;        ///< mean over the counted tokens, in nats
    double perplexity = 0;  ///< e^loss
    index_t tokens = 0;
};

}  // namespace snug::SNUG_TARGET
