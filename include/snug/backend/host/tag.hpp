// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <snug/backend/host/gemm_sizes.hpp>
#include <snug/ops/attention.hpp>
#include <snug/units.hpp>

namespace snug::SNUG_TARGET::backend::host {

/// The host backend. `MaxThreads` bounds the threads that a step uses, because each has a workspace of its own in the
/// plan; a machine with more cores leaves the rest idle.
template <int MaxThreads>
struct tag {
    static constexpr int max_threads = MaxThreads;

    template <class T>
    static constexpr index_t matmul_workspace(index_t columns, index_t depth) {
        return gemm_scratch_bytes<T>(columns, depth, MaxThreads);
    }

    /// The same with a quantized right operand: every thread decodes into a tile of its own.
    template <class T>
    static constexpr index_t quantized_matmul_workspace(index_t /*rows*/, index_t columns, index_t depth) {
        // Operands other than bf16 are computed with as float or double; the larger is safe.
        return MaxThreads * quantized_tile_bytes + gemm_scratch_bytes<T>(columns, depth, MaxThreads);
    }

    /// A thread sums a slice of the columns over all rows, in place.
    template <class T>
    static constexpr index_t column_sums_workspace(index_t /*rows*/, index_t /*columns*/) {
        return 0;
    }
    template <class T>
    static constexpr index_t rows_with_column_sums_workspace(index_t /*rows*/, index_t /*width*/,
                                                             index_t /*sums*/) {
        return 0;
    }

    /// Rows of queries that one task works on; scores exist for these only.
    static constexpr index_t query_tile = 64;

    template <class T>
    struct attention_sizes {
        using sum = std::conditional_t<std::is_same_v<T, double>, double, float>;
        index_t tokens;
        index_t head_width;

        constexpr index_t scores() const {
            return round_up(query_tile * tokens * static_cast<index_t>(sizeof(sum)), 64);
        }
        constexpr index_t probabilities() const {
            return round_up(query_tile * tokens * static_cast<index_t>(sizeof(T)), 64);
        }
        constexpr index_t row_sums() const {
            return round_up(query_tile * static_cast<index_t>(sizeof(sum)), 64);
        }
        constexpr index_t key_gradients() const {
            return round_up(tokens * head_width * static_cast<index_t>(sizeof(sum)), 64);
        }
        constexpr index_t products() const {
            auto const longest = std::max(tokens, head_width);
            return round_up(gemm_serial_scratch_bytes<T>(longest, longest), 64);
        }
        constexpr index_t forward() const { return scores() + probabilities() + row_sums() + products(); }
        constexpr index_t backward() const {
            return scores() + 2 * probabilities() + row_sums() + 2 * key_gradients() + products();
        }
    };

    template <class Shape, class T>
    static constexpr index_t attention_forward_workspace(index_t, index_t tokens) {
        return MaxThreads * attention_sizes<T>{tokens, Shape::head_width}.forward();
    }
    template <class Shape, class T>
    static constexpr index_t attention_backward_workspace(index_t, index_t tokens) {
        return MaxThreads * attention_sizes<T>{tokens, Shape::head_width}.backward();
    }
};

}  // namespace snug::SNUG_TARGET::backend::host

namespace snug::SNUG_TARGET {
/// The host backend for up to `Threads` threads.
template <int Threads>
using host_threads = backend::host::tag<Threads>;
/// The host backend: the processor, up to 16 threads.
using host = host_threads<16>;
}  // namespace snug::SNUG_TARGET
