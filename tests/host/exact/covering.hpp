// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>

namespace test {

/// Rows of values, one of each axis with so many values, in which any two values of two axes meet in some row. Built greedily:
/// each row is the one, of all that there are, in which most pairs meet that have not met before.
template <std::size_t... Sizes>
struct covering {
    static constexpr std::size_t axes = sizeof...(Sizes);
    static constexpr std::array<std::size_t, axes> sizes{Sizes...};
    static constexpr std::size_t all = (Sizes * ...);
    using row = std::array<std::size_t, axes>;

    /// Row number `index` of all that there are.
    static constexpr row row_at(std::size_t index) {
        row values{};
        for (std::size_t a = 0; a < axes; ++a) {
            values[a] = index % sizes[a];
            index /= sizes[a];
        }
        return values;
    }

  private:
    static constexpr std::size_t values = (Sizes + ...);
    /// Which values of two axes have met; value v of axis a has the number first(a) + v.
    struct pairs {
        std::array<bool, values * values> met{};

        static constexpr std::size_t first(std::size_t axis) {
            std::size_t before = 0;
            for (std::size_t a = 0; a < axis; ++a) before += sizes[a];
            return before;
        }
        /// How many pairs meet in this row for the first time; notes them if `keep`.
        constexpr std::size_t meet(row const& values_of_row, bool keep) {
            std::size_t news = 0;
            for (std::size_t a = 0; a < axes; ++a)
                for (std::size_t b = 0; b < a; ++b) {
                    auto& pair = met[(first(a) + values_of_row[a]) * values + first(b) + values_of_row[b]];
                    news += !pair;
                    pair = pair || keep;
                }
            return news;
        }
    };

    struct chosen_rows {
        std::array<std::size_t, all> index{};
        std::size_t count = 0;
    };
    static constexpr chosen_rows chosen = [] {
        chosen_rows result;
        pairs seen;
        for (;;) {
            std::size_t best = 0, most = 0;
            for (std::size_t i = 0; i < all; ++i)
                if (auto const news = seen.meet(row_at(i), false); news > most) best = i, most = news;
            if (most == 0) return result;
            seen.meet(row_at(best), true);
            result.index[result.count++] = best;
        }
    }();

  public:
    static constexpr std::size_t rows = chosen.count;
    static constexpr row at(std::size_t i) { return row_at(chosen.index[i]); }
};

static_assert(covering<2, 2, 2>::rows == 4);
static_assert([] {
    // Nothing but another count of the pairs.
    using three = covering<3, 2, 4>;
    for (std::size_t x = 0; x < 3; ++x)
        for (std::size_t z = 0; z < 4; ++z) {
            bool met = false;
            for (std::size_t i = 0; i < three::rows; ++i)
                met = met || (three::at(i)[0] == x && three::at(i)[2] == z);
            if (!met) return false;
        }
    return three::rows >= 12;
}());

}  // namespace test
