// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ratio>
#include <snug/kernels/norm.hpp>
#include <snug/kernels/sinks.hpp>
#include <snug/layers/initial.hpp>
#include <snug/layers/layer.hpp>
#include <snug/layers/norm.hpp>
#include <snug/ops/add_column_sums.hpp>
#include <snug/ops/attention.hpp>
#include <snug/ops/for_each_row.hpp>

namespace snug::SNUG_TARGET {

namespace detail {

/// A matrix, or a sink of whole rows, as one of rows that are a head each: the same memory.
template <index_t HeadWidth, class T, index_t Width>
constexpr matrix<T, HeadWidth> as_heads(matrix<T, Width> rows) {
    return {rows.data, rows.rows * (Width / HeadWidth)};
}
template <index_t HeadWidth, class T, index_t Width>
constexpr written<T, HeadWidth> as_heads(written<T, Width> sink) {
    return {as_heads<HeadWidth>(sink.to)};
}
template <index_t HeadWidth, class T, index_t Width>
constexpr added<T, HeadWidth> as_heads(added<T, Width> sink) {
    return {as_heads<HeadWidth>(sink.to), as_heads<HeadWidth>(sink.base)};
}
template <index_t HeadWidth, index_t Width>
constexpr discarded<HeadWidth> as_heads(discarded<Width>) {
    return {};
}

/// RMSNorm of heads, for layers to derive from.
template <index_t Heads, index_t KvHeads, index_t HeadWidth, class Epsilon, bool ZeroCentered>
struct normalises_heads : layer::norm {
    using numbers = attention_shape<Heads, KvHeads, HeadWidth>;
    static constexpr index_t input_width = numbers::qkv_width;
    static constexpr index_t output_width = numbers::qkv_width;
    static constexpr bool backward_writes_over_input = true;
    static constexpr bool backward_writes_over_gradient = true;
    static constexpr double epsilon = static_cast<double>(Epsilon::num) / static_cast<double>(Epsilon::den);
    static constexpr index_t normed = Heads + KvHeads;   ///< heads of a row that are normalised
    static constexpr index_t all = Heads + 2 * KvHeads;  ///< and with those of values

    using initially = std::conditional_t<ZeroCentered, initial::zeros, initial::ones>;
    using query = parameter<"query", shape<HeadWidth>, initially>;
    using key = parameter<"key", shape<HeadWidth>, initially>;
    using parameters = meta::list<query, key>;
    using rstd = saved_per_token<"rstd", statistic, normed>;
    using saved = meta::list<rstd>;

    template <class Setting>
    static constexpr index_t backward_workspace() {
        if (!Setting::trains(query{})) return 0;
        return ops::column_sums_workspace<typename Setting::backend, typename Setting::gradient>(
            Setting::rows * Heads, HeadWidth);
    }

    template <class Setting>
    static constexpr layer_work work() {
        using namespace bytes_of;
        constexpr auto statistics = buffer<Setting>(rstd{});
        constexpr auto weights = values<Setting>(query{}) + values<Setting>(key{});
        return {.forward = {.bytes = rows<Setting>(2 * input_width) + weights + statistics},
                .backward = {.bytes = rows<Setting>(3 * input_width) + weights + statistics +
                                      gradient<Setting>(query{}) + gradient<Setting>(key{})}};
    }

    template <class Call, class X, class Y>
    static void forward(Call const& call, X x, Y y) {
        ops::for_each_row<HeadWidth>(
            call.on, x.rows * all,
            ops::bound<forward_head>(as_heads<HeadWidth>(x), call.value(query{}), call.value(key{}),
                                     call.saved(rstd{}), as_heads<HeadWidth>(y)));
    }

    template <class Call, class X, class Y, class DY, class DX>
    static void backward(Call const& call, X x, Y, DY dy, DX dx) {
        auto const* const rstds = call.saved(rstd{});
        auto const heads = as_heads<HeadWidth>(x);
        auto const gradients = as_heads<HeadWidth>(dy);
        // Before dx is written: it may lie where x or dy lies. Both train or neither does.
        if constexpr (Call::trains(query{})) {
            ops::add_column_sums(call.on, x.rows * Heads, HeadWidth, call.workspace(), call.gradient(query{}),
                                 ops::bound<weight_gradient<Heads, 0>>(heads, gradients, rstds));
            ops::add_column_sums(call.on, x.rows * KvHeads, HeadWidth, call.workspace(), call.gradient(key{}),
                                 ops::bound<weight_gradient<KvHeads, Heads>>(heads, gradients, rstds));
        }
        ops::for_each_row<HeadWidth>(
            call.on, x.rows * all,
            ops::bound<backward_head>(heads, gradients, call.value(query{}), call.value(key{}), rstds,
                                      as_heads<HeadWidth>(dx)));
    }

    // What is done to a head, number h of all rows' heads. Not private: a device compiler takes no private type into a
    // kernel.
    struct forward_head {
        constexpr void operator()(auto team, index_t h, auto x, auto query, auto key, auto rstds,
                                  auto y) const {
            auto const row = h / all, head = h % all;
            auto const* const from = x.aligned_row(h);
            using S = std::remove_reference_t<decltype(rstds[row])>;
            if (head < normed)
                kernels::rms_norm_forward(
                    team, HeadWidth, from,
                    rms_norm_weights<ZeroCentered, HeadWidth, S>(head < Heads ? query : key), epsilon,
                    rstds[row * normed + head], y, h);
            else kernels::store_row(team, y, h, HeadWidth, [=](index_t i) { return from[i]; });
        }
    };
    struct backward_head {
        constexpr void operator()(auto team, index_t h, auto x, auto dy, auto query, auto key, auto rstds,
                                  auto dx) const {
            auto const row = h / all, head = h % all;
            auto const* const from = dy.aligned_row(h);
            using S = std::remove_const_t<std::remove_reference_t<decltype(rstds[row])>>;
            if (head < normed)
                kernels::rms_norm_backward(
                    team, HeadWidth, x.aligned_row(h), from,
                    rms_norm_weights<ZeroCentered, HeadWidth, S>(head < Heads ? query : key),
                    rstds[row * normed + head], dx, h);
            else kernels::store_row(team, dx, h, HeadWidth, [=](index_t i) { return from[i]; });
        }
    };
    /// Of `Count` heads of every row from head `First` on.
    template <index_t Count, index_t First>
    struct weight_gradient {
        constexpr auto operator()(index_t number, index_t column, auto x, auto dy, auto rstds) const {
            using S = std::remove_const_t<std::remove_reference_t<decltype(rstds[number])>>;
            auto const row = number / Count, head = First + number % Count;
            auto const h = row * all + head;
            return static_cast<S>(dy.aligned_row(h)[column]) * static_cast<S>(x.aligned_row(h)[column]) *
                   rstds[row * normed + head];
        }
    };
};

}  // namespace detail

/// RMSNorm of each head of queries and of keys, before they are rotated (Henry et al., "Query-Key Normalization for
/// Transformers", arXiv 2010.04245; as Qwen3 has it, arXiv 2505.09388). x and y hold queries, keys and values, shape
/// (rows, (Heads + 2 KvHeads) · HeadWidth); values pass. All heads of queries share one weight of shape (HeadWidth),
/// those of keys another.
///
/// Not `cheap_to_recompute`: attention, which comes next, rotates what this layer has stored, and keeps it.
template <index_t Heads, index_t KvHeads, index_t HeadWidth, class Epsilon = std::ratio<1, 100000>>
struct query_key_norm : detail::normalises_heads<Heads, KvHeads, HeadWidth, Epsilon, false> {};

/// The same with factors of 1 + weight, as Gemma 3 has them (arXiv 2503.19786).
template <index_t Heads, index_t KvHeads, index_t HeadWidth, class Epsilon = std::ratio<1, 100000>>
struct zero_centered_query_key_norm : detail::normalises_heads<Heads, KvHeads, HeadWidth, Epsilon, true> {};

}  // namespace snug::SNUG_TARGET
