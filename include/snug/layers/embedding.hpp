// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <cstdint>
#include <snug/kernels/store.hpp>
#include <snug/layers/initial.hpp>
#include <snug/layers/layer.hpp>
#include <snug/ops/add_rows.hpp>
#include <snug/ops/for_each_row.hpp>

namespace snug::SNUG_TARGET {

/// y = table[token], plus positions[t] when `Positions` > 0 (learned positions as in GPT-2). x holds tokens,
/// shape (rows, 1); table has shape (Vocabulary, Width).
template <index_t Vocabulary, index_t Width, index_t Positions = 0>
struct embedding {
    static constexpr index_t input_width = 1;
    static constexpr index_t output_width = Width;
    static constexpr index_t vocabulary = Vocabulary;
    static constexpr index_t longest_sequence = Positions;
    static constexpr bool backward_reads_parameters = false;
    using input_element = std::int32_t;

    using table = parameter<"table", shape<Vocabulary, Width>, initial::normal<std::ratio<2, 100>>>;
    using positions = parameter<"positions", shape<Positions, Width>, initial::normal<std::ratio<1, 100>>>;
    using parameters = std::conditional_t<(Positions > 0), meta::list<table, positions>, meta::list<table>>;

    /// Of the tables only the rows that the tokens name.
    template <class Setting>
    static constexpr layer_work work() {
        constexpr auto elements = Setting::rows * Width;
        constexpr auto tables = index_t{1} + (Positions > 0 ? 1 : 0);
        constexpr auto trained = index_t{Setting::trains(table{}) ? 1 : 0} +
                                 (Positions > 0 && Setting::trains(positions{}) ? 1 : 0);
        constexpr auto weight_bytes = static_cast<index_t>(sizeof(typename Setting::weight));
        constexpr auto gradient_bytes = static_cast<index_t>(sizeof(typename Setting::gradient));
        constexpr auto tokens = Setting::rows * static_cast<index_t>(sizeof(input_element));
        return {
            .forward = {.bytes = tokens + tables * elements * weight_bytes + bytes_of::rows<Setting>(Width)},
            .backward = {.bytes = trained *
                                  (tokens + 2 * elements * gradient_bytes + bytes_of::rows<Setting>(Width))}};
    }

    template <class Call, class X, class Y>
    static void forward(Call const& call, X x, Y y) {
        using S = typename Call::setting::statistic;
        if constexpr (Positions > 0)
            ops::for_each_row<Width>(call.on, x.rows,
                                     ops::bound<forward_row<S>>(x.data, call.value(table{}), y,
                                                                call.value(positions{}), call.positions()));
        else
            ops::for_each_row<Width>(call.on, x.rows,
                                     ops::bound<forward_row<S>>(x.data, call.value(table{}), y));
    }

    template <class Call, class X, class Y, class DY, class DX>
    static void backward(Call const& call, [[maybe_unused]] X x, Y, DY dy, DX) {
        using S = typename Call::setting::statistic;
        if constexpr (Call::trains(table{}))
            ops::add_rows<S>(call.on, dy, call.gradient(table{}), ops::bound<token_of>(x.data));
        if constexpr (Positions > 0 && Call::trains(positions{}))
            ops::add_rows<S>(call.on, dy, call.gradient(positions{}), call.positions());
    }

    // What is done to a row. Not private: a device compiler takes no private type into a kernel.
    struct token_of {
        constexpr index_t operator()(index_t row, auto tokens) const {
            return static_cast<index_t>(tokens[row]);
        }
    };
    template <class S>
    struct forward_row {
        constexpr void operator()(auto team, index_t row, auto tokens, auto table, auto y) const {
            auto const* const word = aligned<Width>(table) + static_cast<index_t>(tokens[row]) * Width;
            kernels::store_row(team, y, row, Width, [=](index_t i) { return static_cast<S>(word[i]); });
        }
        constexpr void operator()(auto team, index_t row, auto tokens, auto table, auto y, auto positions,
                                  auto position_of) const {
            auto const* const word = aligned<Width>(table) + static_cast<index_t>(tokens[row]) * Width;
            auto const* const position = aligned<Width>(positions) + position_of(row) * Width;
            kernels::store_row(team, y, row, Width, [=](index_t i) {
                return static_cast<S>(word[i]) + static_cast<S>(position[i]);
            });
        }
    };
};

/// y = √Width · table[token], the root rounded to the type of the weights (Gemma, arXiv 2403.08295). Else as
/// `embedding`.
template <index_t Vocabulary, index_t Width>
struct scaled_embedding : embedding<Vocabulary, Width> {
    using table = typename embedding<Vocabulary, Width>::table;
    using token_of = typename embedding<Vocabulary, Width>::token_of;

    template <class Call, class X, class Y>
    static void forward(Call const& call, X x, Y y) {
        using S = typename Call::setting::statistic;
        ops::for_each_row<Width>(
            call.on, x.rows,
            ops::bound<scaled_row<S>>(x.data, call.value(table{}), y, scale<typename Call::setting>()));
    }

    template <class Call, class X, class Y, class DY, class DX>
    static void backward(Call const& call, [[maybe_unused]] X x, Y, [[maybe_unused]] DY dy, DX) {
        using S = typename Call::setting::statistic;
        if constexpr (Call::trains(table{}))
            ops::add_rows<S>(call.on, dy, call.gradient(table{}), ops::bound<token_of>(x.data),
                             scale<typename Call::setting>());
    }

    // What is done to a row. Not private: a device compiler takes no private type into a kernel.
    template <class S>
    struct scaled_row {
        constexpr void operator()(auto team, index_t row, auto tokens, auto table, auto y, S scale) const {
            auto const* const word = aligned<Width>(table) + static_cast<index_t>(tokens[row]) * Width;
            kernels::store_row(team, y, row, Width,
                               [=](index_t i) { return scale * static_cast<S>(word[i]); });
        }
    };

  private:
    template <class Setting>
    static auto scale() {
        using weight = typename Setting::weight;
        return static_cast<typename Setting::statistic>(
            static_cast<weight>(static_cast<float>(std::sqrt(static_cast<double>(Width)))));
    }
};

}  // namespace snug::SNUG_TARGET
