// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <snug/meta.hpp>

namespace snug::SNUG_TARGET::kernels {

/// The sum over ranks of `count` elements, in the order of ranks and each addition, done in type Sum, rounded to T: the order is the
/// program's, not a library's, so the bits do not depend on how the numbers travelled. This rank's are `own`,
/// those of the others lie `stride` elements apart in `arrivals`, in the order of ranks without this one. They may have
/// travelled in another format: this rank's are rounded to it, too. `Onto`: added to what `sum` holds. `sum` may be
/// `own`. A row is `Length` elements.
template <class Sum, bool Onto, index_t Length>
struct fold_ranks {
    template <class Team, class T, class Wire>
    constexpr void operator()(Team team, index_t row, index_t count, int ranks, int rank, T const* own,
                              Wire const* arrivals, index_t stride, T* sum) const {
        auto const begin = row * Length;
        auto const length = std::min(Length, count - begin);
        if constexpr (Team::lanes == 1) {
            // A few vectors at a time stay in registers through all ranks.
            constexpr index_t width = 64;
            index_t first = 0;
            for (; first + width <= length; first += width)
                add<width>(begin + first, width, ranks, rank, own, arrivals, stride, sum);
            add<width>(begin + first, length - first, ranks, rank, own, arrivals, stride, sum);
        } else {
            team.for_each(length,
                          [=](index_t i) { add<1>(begin + i, 1, ranks, rank, own, arrivals, stride, sum); });
        }
    }

  private:
    template <index_t Width, class T, class Wire>
    static constexpr void add(index_t at, index_t count, int ranks, int rank, T const* own,
                              Wire const* arrivals, index_t stride, T* sum) {
        T total[Width];
        auto const all = [&](auto const& f) {
            if (count == Width)
                for (index_t i = 0; i < Width; ++i) f(i);
            else
                for (index_t i = 0; i < count; ++i) f(i);
        };
        auto const with = [&](int r, auto const& f) {
            if (r == rank) all([&](index_t i) { f(i, static_cast<T>(static_cast<Wire>(own[at + i]))); });
            else
                all([&, from = arrivals + (r < rank ? r : r - 1) * stride + at](index_t i) {
                    f(i, static_cast<T>(from[i]));
                });
        };
        if constexpr (Onto) all([&](index_t i) { total[i] = sum[at + i]; });
        else with(0, [&](index_t i, T next) { total[i] = next; });
        for (int r = Onto ? 0 : 1; r < ranks; ++r)
            with(r, [&](index_t i, T next) {
                total[i] = static_cast<T>(static_cast<Sum>(total[i]) + static_cast<Sum>(next));
            });
        all([&](index_t i) { sum[at + i] = total[i]; });
    }
};

}  // namespace snug::SNUG_TARGET::kernels
