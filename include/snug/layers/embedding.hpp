// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <snug/layers/initial.hpp>
#include <snug/layers/layer.hpp>
#include <snug/ops/backend.hpp>

namespace snug {

/// y = table[token], plus positions[t] when `Positions` > 0 (learned positions as in GPT-2). x holds tokens,
/// shape (rows, 1); table has shape (Vocabulary, Width).
template <index Vocabulary, index Width, index Positions = 0>
struct embedding {
    static constexpr index input_width = 1;
    static constexpr index output_width = Width;
    static constexpr index vocabulary = Vocabulary;
    static constexpr index longest_sequence = Positions;
    using input_element = std::int32_t;

    using table = parameter<"table", shape<Vocabulary, Width>, initial::normal<std::ratio<2, 100>>>;
    using positions = parameter<"positions", shape<Positions, Width>, initial::normal<std::ratio<1, 100>>>;
    using parameters = std::conditional_t<(Positions > 0), meta::list<table, positions>, meta::list<table>>;

    template <class Call, class X, class Y>
    static void forward(Call const& call, X x, Y y) {
        using S = typename Call::setting::statistic;
        auto const* const rows_of_table = call.value(table{});
        ops::for_each_row<typename Call::backend>(x.rows, [=](auto team, index row) {
            auto const* const word = rows_of_table + static_cast<index>(x.data[row]) * Width;
            if constexpr (Positions > 0) {
                auto const* const position = call.value(positions{}) + call.position(row) * Width;
                team.for_each(Width, [=](index i) {
                    y(row, i, static_cast<S>(word[i]) + static_cast<S>(position[i]));
                });
            } else {
                team.for_each(Width, [=](index i) { y(row, i, static_cast<S>(word[i])); });
            }
        });
    }

    template <class Call, class X, class Y, class DY, class DX>
    static void backward(Call const& call, [[maybe_unused]] X x, Y, DY dy, DX) {
        using S = typename Call::setting::statistic;
        if constexpr (Call::trains(table{})) {
            auto* const d_table = call.gradient(table{});
            add_rows<S>(call, dy,
                        [=](index row) { return d_table + static_cast<index>(x.data[row]) * Width; });
        }
        if constexpr (Positions > 0 && Call::trains(positions{})) {
            auto* const d_positions = call.gradient(positions{});
            add_rows<S>(call, dy, [=](index row) { return d_positions + call.position(row) * Width; });
        }
    }

  private:
    /// Adds every row of dy to the row of a gradient that `to` gives.
    template <class S, class Call, class DY, class To>
    static void add_rows(Call const&, DY dy, To to) {
        // Tokens repeat, so rows of the table are not the unit of parallel work: slices of columns are.
        constexpr index slice = 64;
        ops::for_each_row<typename Call::backend>((Width + slice - 1) / slice, [=](auto team, index s) {
            auto const first = s * slice;
            auto const count = std::min(slice, Width - first);
            for (index row = 0; row < dy.rows; ++row) {
                auto* const sums = to(row) + first;
                auto const* const from = dy.row(row) + first;
                team.for_each(count, [=](index i) { add_to(sums[i], static_cast<S>(from[i])); });
            }
        });
    }
};

}  // namespace snug
