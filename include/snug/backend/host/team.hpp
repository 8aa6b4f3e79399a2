// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <snug/meta.hpp>

namespace snug::SNUG_TARGET::backend::host {

/// The team of the host: one thread that works on a row with vector instructions. The order of a sum is fixed by
/// the program, whatever the number of threads. Functions come by value, and should hold what they capture by value:
/// GCC 12 reads a captured reference again for every element, and gathers instead of loading. It does the same with an
/// argument that it does not inline: hence the copies.
struct serial_team {
    static constexpr index_t lanes = 1;
    static constexpr index_t lane() { return 0; }

    template <class F>
    void for_each(index_t n, F f) const {
        auto const body = f;
#pragma omp simd
        for (index_t i = 0; i < n; ++i) body(i);
    }

    /// f(i) for every i, by the same lane for every n.
    template <class F>
    void for_each_owned(index_t n, F f) const {
        for_each(n, f);
    }

    template <class S, class F>
    S sum(index_t n, F f) const {
        // In pieces: over a whole vocabulary a lane of fp32 would round thousands of times.
        constexpr index_t piece = 4096;
        auto const value = f;
        S total{};
        for (index_t first = 0; first < n; first += piece) {
            auto const end = std::min(n, first + piece);
            S part{};
#pragma omp simd reduction(+ : part)
            for (index_t i = first; i < end; ++i) part += value(i);
            total += part;
        }
        return total;
    }

    template <class S, class F>
    S largest(index_t n, F f) const {
        auto const value = f;
        S result = value(0);
#pragma omp simd reduction(max : result)
        for (index_t i = 0; i < n; ++i) {
            S const candidate = value(i);
            result = candidate > result ? candidate : result;
        }
        return result;
    }
};

}  // namespace snug::SNUG_TARGET::backend::host
