// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <snug/policy.hpp>

namespace snug {

/// What a checkpointing policy decides: `segment(blocks)`, the number of consecutive blocks whose activations are
/// kept at once. Only the input of every segment is kept through the forward pass, and a segment is computed again
/// when backward reaches it. 0 keeps everything. Losses and weights are the same to the bit.
template <class P>
concept checkpointing_policy = policy<P> && std::same_as<typename P::axis, axis::checkpointing> && requires {
    { P::segment(index_t{12}) } -> std::convertible_to<index_t>;
    requires P::segment(index_t{12})
    >= 0;
};

/// The policy keeps the activations of all blocks of every repeat in L.
template <class Checkpointing, class L>
constexpr bool keeps_all_blocks() {
    if constexpr (requires { typename L::children; }) {
        bool keeps = true;
        if constexpr (requires { L::blocks; }) keeps = Checkpointing::segment(L::blocks) <= 0;
        return keeps && []<template <class...> class List, class... Children>(List<Children...>*) {
            return (keeps_all_blocks<Checkpointing, Children>() && ... && true);
        }(static_cast<typename L::children*>(nullptr));
    } else {
        return true;
    }
}

namespace refusal {

template <class Policy>
struct this_is_not_a_checkpointing {
    static constexpr bool holds = checkpointing_policy<Policy>;
    static_assert(holds,
                  "snug: a policy of the axis checkpointing needs 'static constexpr index_t segment(index_t "
                  "blocks)': how many blocks keep their activations at once, 0 for all of them (see Policy)");
};

template <index_t K>
struct every_kth_block_needs_a_k_of_at_least_1 {
    static_assert(K > 0,
                  "snug: checkpointing::every<K> keeps the input of every K-th block, so K is at least 1");
};

}  // namespace refusal

namespace checkpointing {

struct none {
    using axis = snug::axis::checkpointing;
    static constexpr index_t segment(index_t) { return 0; }
};

/// Keeps the input of every K-th block.
template <index_t K>
struct every {
    static_assert(sizeof(refusal::every_kth_block_needs_a_k_of_at_least_1<K>) > 0);
    using axis = snug::axis::checkpointing;
    static constexpr index_t segment(index_t blocks) { return K < blocks ? K : blocks; }
};

struct every_block : every<1> {};

/// Keeps the inputs of products and of attention, and recomputes what costs one pass over memory: the outputs of norms
/// and activation functions. A third of the activations for a few hundredths of the time.
struct selective {
    using axis = snug::axis::checkpointing;
    static constexpr bool recomputes_cheap_layers = true;
    static constexpr index_t segment(index_t) { return 0; }
};

/// Segments of about √blocks blocks: the least memory for one more forward pass when a block keeps about as much as its
/// input takes (Chen et al., arXiv 1604.06174); for blocks that keep much more, every_block keeps less.
struct square_root {
    using axis = snug::axis::checkpointing;
    static constexpr index_t segment(index_t blocks) {
        index_t root = 1;
        while (root * root < blocks) ++root;
        return root;
    }
};

}  // namespace checkpointing
}  // namespace snug
