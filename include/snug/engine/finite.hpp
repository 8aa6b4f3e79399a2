// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <atomic>
#include <cmath>
#include <snug/diagnose/require.hpp>
#include <snug/error.hpp>
#include <snug/io/file_tensor.hpp>
#include <snug/ops/for_each_row.hpp>
#include <span>
#include <string>
#include <utility>

/// Numbers that are not finite, in files or where they are stored: looked for before anything changes.
namespace snug::SNUG_TARGET::engine {

template <class... Stored>
bool is_finite_in(float value) {
    return std::isfinite(value) &&
           (std::isfinite(static_cast<float>(static_cast<Stored>(value))) && ... && true);
}

/// Says which number of a tensor is refused, and how it is taken nevertheless.
[[noreturn]] inline void refuse_number(place where, float value, index_t i, bool may_be_allowed) {
    throw error(std::move(where), detail::number_as_text(value) + " at element " + std::to_string(i),
                std::string(std::isfinite(value) ? "a number that is finite in the type that stores it"
                                                 : "a finite number") +
                    (may_be_allowed ? "; load_options{.allow_not_finite = true} takes it as it is" : ""));
}

/// The first of `count` numbers that is not finite in all these types, and which it is; `count` when there is
/// none. decode(first, values) fills a span with the numbers from the first on.
template <class... Stored, class Context, class Decode>
std::pair<index_t, float> first_not_finite(Context on, index_t count, Decode const& decode) {
    constexpr index_t length = 4096;
    std::atomic<index_t> first = count;
    ops::for_each_row(on, (count + length - 1) / length, [&](auto, index_t which) {
        float values[length];
        auto const begin = which * length;
        auto const end = std::min(begin + length, count);
        decode(begin, std::span(values, static_cast<std::size_t>(end - begin)));
        index_t i = begin;
        while (i < end && is_finite_in<Stored...>(values[i - begin])) ++i;
        if (i == end) return;
        auto seen = first.load(std::memory_order_relaxed);
        while (i < seen && !first.compare_exchange_weak(seen, i, std::memory_order_relaxed)) {
        }
    });
    float value[1] = {};
    auto const found = first.load(std::memory_order_relaxed);
    if (found < count) decode(found, std::span(value));
    return {found, value[0]};
}

/// The same for what a scheme has stored of a parameter, in memory aligned to 64.
template <class Parameter, class Context>
std::pair<index_t, float> first_not_finite_stored(Context on, std::byte const* bytes) {
    using scheme = typename Parameter::scheme;
    auto const stored = scheme::view_of(bytes, Parameter::extent);
    return first_not_finite(on, Parameter::shape::count, [&](index_t first, std::span<float> to) {
        scheme::decode(stored, first, static_cast<index_t>(to.size()), to.data());
    });
}

/// Throws for the first number of a tensor that is not finite, in the file or in one of the types that are to
/// store it.
template <class... Stored, class Context>
void require_finite(Context on, io::file_tensor const& tensor, bool may_be_allowed = true) {
    auto const [i, value] = first_not_finite<Stored...>(
        on, tensor.size(), [&](index_t first, std::span<float> to) { io::decode(tensor, first, to); });
    if (i < tensor.size()) refuse_number(tensor.where(), value, i, may_be_allowed);
}

}  // namespace snug::SNUG_TARGET::engine
