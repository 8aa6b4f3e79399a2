// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <snug/error.hpp>
#include <snug/meta.hpp>
#include <span>
#include <string>

namespace snug::SNUG_TARGET {

/// Tokens of one optimizer step: `micro_batches · sequences · tokens` inputs and as many targets, in this order.
/// A negative target is not counted. `starts`, where a row holds several examples: for each token the position in its row that
/// its example begins at, before which it does not attend; empty where each row is one. Views: whoever made it keeps the memory.
struct token_batch {
    std::span<std::int32_t const> inputs;
    std::span<std::int32_t const> targets;
    std::span<std::int32_t const> starts = {};
};

/// What a trainer asks of a batch.
struct batch_shape {
    index_t rows = 0;    ///< micro-batches · sequences
    index_t tokens = 0;  ///< of a row
    index_t vocabulary = 0;
};

/// The number of counted targets, which may be 0. Throws `snug::error`, by position, when the batch has another size, a token is
/// outside the vocabulary, or a start is not a position of its row or before that of the token to its left.
inline index_t count_targets(token_batch const& batch, batch_shape const& shape) {
    auto const expected = static_cast<std::size_t>(shape.rows * shape.tokens);
    if (batch.inputs.size() != expected || batch.targets.size() != expected)
        throw error({},
                    "a batch of " + std::to_string(batch.inputs.size()) + " inputs and " +
                        std::to_string(batch.targets.size()) + " targets",
                    std::to_string(expected) + " of each: micro-batches × sequences × tokens");
    if (!batch.starts.empty() && batch.starts.size() != expected)
        throw error({}, std::to_string(batch.starts.size()) + " starts of examples",
                    "none, or one for each of the " + std::to_string(expected) + " tokens");
    for (std::size_t i = 0; i < batch.starts.size(); ++i) {
        auto const position = static_cast<index_t>(i) % shape.tokens;
        auto const before = position == 0 ? 0 : batch.starts[i - 1];
        if (batch.starts[i] < before || batch.starts[i] > position)
            throw error({},
                        "start " + std::to_string(batch.starts[i]) + " at position " + std::to_string(i) +
                            " of the batch",
                        "from " + std::to_string(before) + " to " + std::to_string(position) +
                            ": a position of its row, not before that of the token to its left");
    }
    index_t counted = 0;
    for (std::size_t i = 0; i < expected; ++i) {
        for (auto const token : {batch.inputs[i], batch.targets[i]})
            if (token >= shape.vocabulary || (token < 0 && token == batch.inputs[i]))
                throw error(
                    {},
                    "token " + std::to_string(token) + " at position " + std::to_string(i) + " of the batch",
                    "a token of the vocabulary of " + std::to_string(shape.vocabulary));
        counted += batch.targets[i] >= 0;
    }
    return counted;
}

/// Refuses a step in which nothing is counted.
inline void require_counted(index_t counted) {
    if (counted == 0)
        throw error({}, "a batch without a counted target", "at least one target that is not negative");
}

/// The same as `count_targets`, of at least one.
inline index_t require_batch(token_batch const& batch, batch_shape const& shape) {
    auto const counted = count_targets(batch, shape);
    require_counted(counted);
    return counted;
}

}  // namespace snug::SNUG_TARGET
