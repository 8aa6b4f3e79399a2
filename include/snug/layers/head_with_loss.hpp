// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <snug/kernels/cross_entropy.hpp>
#include <snug/layers/initial.hpp>
#include <snug/layers/layer.hpp>
#include <snug/ops/add_sum.hpp>
#include <snug/ops/for_each_row.hpp>
#include <snug/ops/matmul.hpp>

namespace snug::SNUG_TARGET {

/// The language-model head fused with the softmax cross-entropy: logits = x Wᵀ with W of shape (Vocabulary, Width),
/// the embedding's table when `Tied`. Rows go through in chunks, forward and backward at once, so the logits of a
/// micro-batch are never whole in memory.
template <index_t Width, index_t Vocabulary, bool Tied>
struct head_with_loss {
    static constexpr index_t input_width = Width;
    static constexpr index_t vocabulary = Vocabulary;
    static constexpr bool tied = Tied;

    using weight = parameter<"weight", shape<Vocabulary, Width>, initial::normal<std::ratio<2, 100>>>;
    using parameters = std::conditional_t<Tied, meta::list<>, meta::list<weight>>;

    /// Elements from one row of logits to the next: rows begin on cache lines, whatever the vocabulary.
    static constexpr index_t logits_stride = round_up(Vocabulary, index_t{64});

    /// Logits of one chunk take at most this, unless a single row takes more. Every chunk reads and writes the gradient of the
    /// head's weight once: a backend that has much memory says `logits_bytes`.
    template <class Setting>
    static constexpr index_t largest_chunk_bytes() {
        using backend = typename Setting::backend;
        if constexpr (requires { backend::logits_bytes; })
            if (Setting::trains(weight{})) return backend::logits_bytes;
        return index_t{64} << 20;
    }

    /// The largest divisor of the rows whose logits fit: all chunks are alike.
    template <class Setting>
    static constexpr index_t chunk_rows() {
        constexpr auto row = logits_stride * static_cast<index_t>(sizeof(typename Setting::activation));
        index_t chunk = 1;
        for (index_t rows = 1; rows <= Setting::rows; ++rows)
            if (Setting::rows % rows == 0 && rows * row <= largest_chunk_bytes<Setting>()) chunk = rows;
        return chunk;
    }

    template <class Setting>
    static constexpr index_t forward_workspace() {
        return products_at<Setting>() + products_workspace<Setting>();
    }

    /// Forward: the logits, and the pass that makes of them the loss and their gradient. Backward: the products with that gradient.
    /// Every chunk reads the weight again.
    template <class Setting>
    static constexpr layer_work work() {
        using namespace bytes_of;
        constexpr auto product = 2 * Setting::rows * Width * Vocabulary;
        constexpr auto chunks = Setting::rows / chunk_rows<Setting>();
        constexpr auto weights = chunks * values<Setting>(weight{});
        constexpr auto a_product = rows<Setting>(Width + Vocabulary);
        constexpr bool trains = Setting::trains(weight{});
        return {
            .forward = {.products = product, .bytes = a_product + weights + rows<Setting>(2 * Vocabulary)},
            .backward = {
                .products = (trains ? 2 : 1) * product,
                .bytes = (trains ? 2 : 1) * a_product + weights + chunks * gradient<Setting>(weight{})}};
    }

    /// Adds the losses of all counted tokens, -log p(target), to `*total`. With `Training`, also adds *scale · gradient to
    /// the weight's gradient and replaces x by its gradient; `*scale` is 1 / the number of counted tokens of the step.
    template <bool Training, class Call, class X>
    static void loss(Call const& call, X x, std::int32_t const* targets, double const* scale, double* total) {
        using setting = typename Call::setting;
        using S = typename setting::statistic;
        auto const w = weight_of(call);
        auto* const row_losses = reinterpret_cast<double*>(call.workspace());
        auto* const products = call.workspace() + products_at<setting>();
        constexpr auto chunk = chunk_rows<setting>();
        for (index_t first = 0; first < x.rows; first += chunk) {
            auto const count = std::min(chunk, x.rows - first);
            auto const rows = x.rows_from(first, count);
            auto const chunk_logits = logits(call, rows);
            ops::for_each_row<Vocabulary>(
                call.on, count,
                ops::bound<loss_row<S, Training>>(chunk_logits, targets + first, scale, row_losses + first));
            if constexpr (Training) {
                if constexpr (Call::trains(weight{}))
                    ops::matmul(call.on, transposed{chunk_logits}, rows, products,
                                accumulated<typename Call::gradient_type, Width>{
                                    {weight_gradient_of(call), Vocabulary}});
                ops::matmul(call.on, chunk_logits, w, products,
                            written<typename setting::activation, Width>{rows});
            }
        }
        ops::add_sum(call.on, x.rows, call.partials, total, ops::bound<loss_of>(row_losses));
    }

    /// Logits of at most `chunk_rows` rows, in the head's workspace.
    template <class Call, class X>
    static auto logits(Call const& call, X rows) {
        using setting = typename Call::setting;
        auto const result = matrix<typename setting::activation, Vocabulary, logits_stride>{
            reinterpret_cast<typename setting::activation*>(call.workspace() + logits_at<setting>()),
            rows.rows};
        ops::matmul(call.on, rows, transposed{weight_of(call)}, call.workspace() + products_at<setting>(),
                    written<typename setting::activation, Vocabulary, logits_stride>{result});
        return result;
    }

    // What is done to a row of logits. Not private: a device compiler takes no private type into a kernel.
    template <class S, bool Training>
    struct loss_row {
        constexpr void operator()(auto team, index_t row, auto logits, auto targets, auto scale,
                                  auto losses) const {
            auto const s = static_cast<S>(*scale);
            losses[row] = static_cast<double>(kernels::cross_entropy<S>(
                team, Vocabulary, logits.aligned_row(row), targets[row], Training ? &s : nullptr));
        }
    };
    struct loss_of {
        constexpr double operator()(index_t row, auto losses) const { return losses[row]; }
    };

  private:
    // The workspace: losses by row, logits of a chunk, workspace of the products.
    template <class Setting>
    static constexpr index_t logits_at() {
        return round_up(Setting::rows * static_cast<index_t>(sizeof(double)), 64);
    }
    template <class Setting>
    static constexpr index_t products_at() {
        return logits_at<Setting>() + chunk_rows<Setting>() * logits_stride *
                                          static_cast<index_t>(sizeof(typename Setting::activation));
    }
    template <class Setting>
    static constexpr index_t products_workspace() {
        using backend = typename Setting::backend;
        using element = typename Setting::activation;
        return std::max({ops::matmul_workspace<backend, element>(Vocabulary, Width),
                         ops::matmul_workspace<backend, element>(Width, Vocabulary),
                         ops::matmul_workspace<backend, element>(Width, chunk_rows<Setting>())});
    }

    template <class Call>
    static auto weight_of(Call const& call) {
        using element = typename Call::weight_type const;
        if constexpr (Tied)
            return matrix<element, Width>{reinterpret_cast<element*>(call.tied_value), Vocabulary};
        else return matrix<element, Width>{call.value(weight{}), Vocabulary};
    }
    template <class Call>
    static auto* weight_gradient_of(Call const& call) {
        if constexpr (Tied) return reinterpret_cast<typename Call::gradient_type*>(call.tied_gradient);
        else return call.gradient(weight{});
    }
};

}  // namespace snug::SNUG_TARGET
