// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <snug/kernels/rotary.hpp>
#include <snug/layers/layer.hpp>
#include <snug/ops/attention.hpp>
#include <snug/ops/for_each_row.hpp>
#include <type_traits>

namespace snug::SNUG_TARGET {

/// No rotation: positions come from somewhere else.
struct no_rotation {
    static constexpr bool rotates = false;
};

/// Rotary position embedding with base `Theta` (10000 in RoFormer and Llama 2, 500000 in Llama 3), its frequencies
/// scaled by `Scaling`: `rope::plain`, `rope::linear<...>` or `rope::llama3<...>`.
template <index_t Theta, class Scaling = rope::plain>
struct rotary {
    static constexpr bool rotates = true;
    static constexpr double theta = static_cast<double>(Theta);
    static constexpr rope::scaling scaling() { return Scaling::numbers(); }
};

namespace refusal {

template <index_t Heads, index_t KvHeads>
struct the_heads_must_be_a_multiple_of_the_kv_heads {
    static_assert(KvHeads > 0 && Heads % KvHeads == 0,
                  "snug: the heads of attention must be a multiple of its kv_heads (see Heads and KvHeads)");
};

}  // namespace refusal

namespace detail {

/// Attention of a shape, for layers to derive from.
template <class Shape, class Rotation>
struct attends {
    static_assert(!Rotation::rotates || Shape::head_width % 2 == 0,
                  "snug: a rotated head must have an even width");

    using numbers = Shape;
    static constexpr index_t input_width = numbers::qkv_width;
    static constexpr index_t output_width = numbers::output_width;
    static constexpr bool backward_reads_output = true;
    static constexpr bool backward_writes_over_input = true;
    static constexpr bool keeps_input = true;
    static constexpr bool changes_input = Rotation::rotates;

    using logsumexp = saved_per_token<"logsumexp", statistic, Shape::heads>;
    using saved = meta::list<logsumexp>;

    template <class Setting>
    static constexpr index_t forward_workspace() {
        return ops::attention_forward_workspace<typename Setting::backend, numbers,
                                                typename Setting::activation>(Setting::sequences,
                                                                              Setting::tokens);
    }
    template <class Setting>
    static constexpr index_t backward_workspace() {
        return ops::attention_backward_workspace<typename Setting::backend, numbers,
                                                 typename Setting::activation>(Setting::sequences,
                                                                               Setting::tokens);
    }

    /// Queries by keys and scores by values, 2 · rows · keys · heads · head width operations each, where keys are those
    /// that a query sees on average, the causal half and within the window; backward twice that, without the scores
    /// that it computes again.
    template <class Setting>
    static constexpr layer_work work() {
        using namespace bytes_of;
        constexpr auto tokens = Setting::tokens;
        constexpr auto window = numbers::window > 0 && numbers::window < tokens ? numbers::window : tokens;
        // Twice the pairs of a query and a key that it sees.
        constexpr auto pairs = Setting::sequences * window * (2 * tokens - window);
        constexpr auto products = 2 * pairs * numbers::output_width;
        constexpr auto rotation =
            Rotation::rotates ? rows<Setting>(2 * rotated_heads * numbers::head_width) : 0;
        constexpr auto both =
            rows<Setting>(input_width + output_width) + buffer<Setting>(logsumexp{}) + rotation;
        return {.forward = {.attention = products, .bytes = both},
                .backward = {.attention = 2 * products,
                             .bytes = both + rows<Setting>(input_width + output_width)},
                .change = {.bytes = rotation}};
    }

    template <class Call, class X, class Y>
    static void forward(Call const& call, X x, Y y) {
        change_input(call, x);
        forward_on_changed(call, x, y);
    }

    /// Turns queries and keys.
    template <class Call, class X>
    static void change_input(Call const& call, X x) {
        rotate(call, x, 1);
    }

    /// Of queries and keys that are turned.
    template <class Call, class X, class Y>
    static void forward_on_changed(Call const& call, X x, Y y) {
        ops::attention_forward<numbers>(call.on, call.span.sequences, call.span.tokens, call.span.past,
                                        x.data, call.starts, y.to.data, call.saved(logsumexp{}),
                                        call.workspace());
    }

    template <class Call, class X, class Y, class DY, class DX>
    static void backward(Call const& call, X x, Y y, DY dy, DX dx) {
        ops::attention_backward<numbers>(call.on, call.span.sequences, call.span.tokens, x.data, call.starts,
                                         y.data, dy.data, call.saved(logsumexp{}), dx.to.data,
                                         call.workspace());
        rotate(call, dx.to, -1);
    }

    // Not private: a device compiler takes no private type into a kernel.
    template <class S>
    struct rotate_row {
        constexpr void operator()(auto team, index_t row, auto positions, auto x, int direction) const {
            // Keys follow the queries in a row: one call turns both.
            kernels::rotate<Shape::head_width>(team, x.row(row), rotated_heads, positions(row),
                                               Rotation::theta, Rotation::scaling(),
                                               static_cast<S>(direction));
        }
    };

  private:
    static constexpr index_t rotated_heads = Shape::heads + Shape::kv_heads;

    template <class Call, class Rows>
    static void rotate(Call const& call, Rows x, int direction) {
        if constexpr (Rotation::rotates)
            ops::for_each_row<Shape::head_width>(
                call.on, x.rows,
                ops::bound<rotate_row<typename Call::setting::statistic>>(call.positions(), x, direction));
    }
};

}  // namespace detail

/// Causal self-attention with grouped queries (Vaswani et al., arXiv 1706.03762; Ainslie et al., arXiv 2305.13245). x
/// holds queries, keys and values, shape (rows, (Heads + 2 KvHeads) · HeadWidth); y has shape (rows, Heads ·
/// HeadWidth). Queries and keys are rotated where they lie, so the layer before must not need its output again.
template <index_t Heads, index_t KvHeads, index_t HeadWidth, class Rotation = no_rotation>
struct causal_attention : detail::attends<attention_shape<Heads, KvHeads, HeadWidth>, Rotation> {
    static_assert(sizeof(refusal::the_heads_must_be_a_multiple_of_the_kv_heads<Heads, KvHeads>) > 0);
};

/// Causal self-attention within a sliding window (Beltagy et al., arXiv 2004.05150; as Mistral has it, arXiv
/// 2310.06825): a query sees the last `Window` keys, its own included. Else as `causal_attention`.
template <index_t Heads, index_t KvHeads, index_t HeadWidth, index_t Window, class Rotation = no_rotation>
struct sliding_attention : detail::attends<attention_shape<Heads, KvHeads, HeadWidth, Window>, Rotation> {
    static_assert(sizeof(refusal::the_heads_must_be_a_multiple_of_the_kv_heads<Heads, KvHeads>) > 0);
    static_assert(Window > 0, "snug: a sliding window of attention holds at least the query's own key");
};

/// Causal self-attention of any `attention_shape`: within a window or without one, its scores divided by any root. Else
/// as `causal_attention`.
template <class Shape, class Rotation = no_rotation>
struct attention_of : detail::attends<Shape, Rotation> {
    static_assert(
        sizeof(refusal::the_heads_must_be_a_multiple_of_the_kv_heads<Shape::heads, Shape::kv_heads>) > 0);
};

/// Within a window, or without one where it is 0.
template <index_t Heads, index_t KvHeads, index_t HeadWidth, index_t Window, class Rotation>
using attention_within =
    std::conditional_t<Window == 0, causal_attention<Heads, KvHeads, HeadWidth, Rotation>,
                       sliding_attention<Heads, KvHeads, HeadWidth, Window, Rotation>>;

}  // namespace snug::SNUG_TARGET
