// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>

namespace snug {

/// Tokens of one optimizer step: `micro_batches · sequences · tokens` inputs and as many targets, in this order.
/// A negative target is not counted. Views: whoever made it keeps the memory.
struct token_batch {
    std::span<std::int32_t const> inputs;
    std::span<std::int32_t const> targets;
};

}  // namespace snug
