// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <snug/meta.hpp>
#include <snug/quantization/nearest.hpp>
#include <snug/quantization/scheme.hpp>

/// Passes over a whole array that any loop may run in parallel, with results that do not depend on it.
namespace snug::SNUG_TARGET::quantization::detail {

/// Elements that one call handles in a row.
inline constexpr index_t piece = 1024;

/// Calls f(first, count, numbers) for every piece of an array.
template <class Source, class Loop, class F>
void for_each_piece(Source const& source, Loop const& loop, F const& f) {
    loop(divide_up(source.size(), piece), [&](index_t which) {
        index_t const first = which * piece;
        index_t const count = std::min(piece, source.size() - first);
        float buffer[piece] = {};
        f(first, count, source.read(first, count, buffer));
    });
}

/// Calls f(result, first, count, numbers) for the pieces of each slice of an array, in order within a slice.
template <class Result, class Source, class Loop, class F>
std::array<Result, slices> by_slices(Source const& source, Loop const& loop, F const& f) {
    std::array<Result, slices> results{};
    loop(slices, [&](index_t which) {
        auto const [begin, end] = slice_of(source.size(), which, piece);
        for (index_t first = begin; first < end; first += piece) {
            index_t const count = std::min(piece, end - first);
            float buffer[piece] = {};
            f(results[static_cast<std::size_t>(which)], first, count, source.read(first, count, buffer));
        }
    });
    return results;
}

/// Extremes of a whole array; refuses what is not finite.
template <class Source, class Loop>
extremes extremes_of_all(Source const& source, Loop const& loop) {
    finite_guard guard;
    auto const parts = by_slices<extremes>(
        source, loop, [&](extremes& result, index_t first, index_t count, float const* x) {
            auto const found = extremes_of(x, count);
            if (found.finite()) result.include(found);
            else guard.check(x, count, first);
        });
    guard.refuse(source);
    extremes all;
    for (auto const& part : parts) all.include(part);
    return all;
}

}  // namespace snug::SNUG_TARGET::quantization::detail
