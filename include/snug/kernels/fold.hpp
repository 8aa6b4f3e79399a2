// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <snug/meta.hpp>

namespace snug::SNUG_TARGET::kernels {

/// The sum over ranks of `count` elements, in the order of ranks and each addition, done in type Sum, rounded to T: the order is the
/// program's, not a library's, so the bits do not depend on how the numbers travelled. This rank's are `own`,
/// those of the others lie `stride` elements apart in `arrivals`, in the order of ranks without this one. `Onto`:
/// added to what `sum` holds. `sum` may be `own`. A row is `Length` elements.
template <class Sum, bool Onto, index_t Length>
struct fold_ranks {
    template <class Team, class T>
    constexpr void operator()(Team team, index_t row, index_t count, int ranks, int rank, T const* own,
                              T const* arrivals, index_t stride, T* sum) const {
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
    template <index_t Width, class T>
    static constexpr void add(index_t at, index_t count, int ranks, int rank, T const* own, T const* arrivals,
                              index_t stride, T* sum) {
        T total[Width];
        auto const from = [&](int r) {
            return r == rank ? own + at : arrivals + (r < rank ? r : r - 1) * stride + at;
        };
        auto const all = [&](auto const& f) {
            if (count == Width)
                for (index_t i = 0; i < Width; ++i) f(i);
            else
                for (index_t i = 0; i < count; ++i) f(i);
        };
        auto const* const first = Onto ? sum + at : from(0);
        all([&](index_t i) { total[i] = first[i]; });
        for (int r = Onto ? 0 : 1; r < ranks; ++r) {
            auto const* const next = from(r);
            all([&](index_t i) {
                total[i] = static_cast<T>(static_cast<Sum>(total[i]) + static_cast<Sum>(next[i]));
            });
        }
        all([&](index_t i) { sum[at + i] = total[i]; });
    }
};

}  // namespace snug::SNUG_TARGET::kernels
