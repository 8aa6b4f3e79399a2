// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>

namespace snug {

/// Tokens of one optimizer step: `micro_batches · sequences · tokens` inputs and as many targets, in this order.
/// A negative target is not counted. `starts`, where a row holds several examples: for each token the position in its row that
/// its example begins at, before which it does not attend; empty where each row is one. Views: whoever made it keeps the memory.
struct token_batch {
    std::span<std::int32_t const> inputs;
    std::span<std::int32_t const> targets;
    std::span<std::int32_t const> starts = {};
};

}  // namespace snug
