// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <snug/error.hpp>
#include <snug/meta.hpp>
#include <snug/policy.hpp>
#include <snug/precision/bf16.hpp>
#include <snug/units.hpp>
#include <span>
#include <string>
#include <type_traits>

namespace snug::SNUG_TARGET::quantization {

/// A row-major matrix. Blocks run along its flattened elements, over the ends of rows; only schemes that look at
/// columns see more than the number of elements. An array is one row.
struct shape {
    index_t rows = 1;
    index_t columns = 0;

    constexpr index_t count() const { return rows * columns; }
    bool operator==(shape const&) const = default;
};

/// The loop that an encoder is given: calls f(i) for every i in [0, count), in any order, on any threads, and returns
/// when all calls have. What is stored does not depend on it.
struct serial_loop {
    template <class F>
    void operator()(index_t count, F const& f) const {
        for (index_t i = 0; i < count; ++i) f(i);
    }
};

/// A quantization scheme: an empty struct, its own class or a user's, that says in how many bytes a matrix is stored,
/// and how to write and read them. The bytes lie in one region that starts at a multiple of 64 and is the caller's.
///
/// - `storage(shape)`: the size of the region. A constant expression: it becomes a line of a trainer's bill.
/// - `encode(values, shape, region, loop)`: writes all of it but what alignment leaves between its parts. Throws
///   snug::error that names the first NaN or infinity; the region's content is then unspecified. Allocates nothing.
/// - `view`: trivially copyable, what decoding needs of a region, made by `view_of(region, shape)`.
/// - `decode(view, first, count, out)`: elements [first, first + count) of the flattened matrix, as float or bf16, the
///   same bits whatever the range. Any number of threads may decode at once. Of numbers beyond 1e38 some may decode to
///   infinity, since scales are rounded.
///
/// docs/quantization.md shows a scheme of one's own.
template <class S>
concept quantization_scheme = policy<S> && std::same_as<typename S::axis, axis::quantization> &&
    std::is_trivially_copyable_v<typename S::view> &&
    requires(shape extent, std::span<float const> values, std::byte* region, std::byte const* stored,
             typename S::view const& view, index_t i, float* floats, bf16* halves) {
    { S::storage(extent) } -> std::same_as<bytes>;
    S::encode(values, extent, region, serial_loop{});
    { S::view_of(stored, extent) } -> std::same_as<typename S::view>;
    S::decode(view, i, i, floats);
    S::decode(view, i, i, halves);
};

/// How a scheme is written, for files and reports: its `name()`, where it has one.
template <class Scheme>
std::string name_of() {
    if constexpr (requires {
                      { Scheme::name() } -> std::convertible_to<std::string>;
                  })
        return Scheme::name();
    else return "unnamed";
}

/// Schemes that also show their codes, one in a byte: `codes(view, first, count, out)` and `code_count`.
template <class S>
concept coded_scheme = quantization_scheme<S> &&
    requires(typename S::view const& view, index_t i, std::uint8_t* out) {
    { S::code_count } -> std::convertible_to<int>;
    S::codes(view, i, i, out);
};

/// Bits of a region per element; 4.5 for nf4<64>.
template <quantization_scheme S>
constexpr double bits_per_element(shape extent) {
    return 8.0 * static_cast<double>(S::storage(extent).count) / static_cast<double>(extent.count());
}

namespace detail {

/// Lays the parts of a region one after the other, each at a multiple of 64.
class region_layout {
  public:
    /// The offset of a part of that size.
    constexpr index_t add(index_t size) {
        index_t const at = round_up(end_, 64);
        end_ = size > 0 ? at + size : end_;
        return at;
    }
    constexpr bytes total() const { return {end_}; }

  private:
    index_t end_ = 0;
};

constexpr index_t divide_up(index_t n, index_t step) { return (n + step - 1) / step; }

/// Where encoders read from: pieces of at most `longest_piece` elements as floats, in place or copied into `buffer`.
inline constexpr index_t longest_piece = 4096;

struct float_source {
    std::span<float const> values;

    index_t size() const { return static_cast<index_t>(values.size()); }
    float const* read(index_t first, index_t, float*) const { return values.data() + first; }
};

struct bf16_source {
    std::span<bf16 const> values;

    index_t size() const { return static_cast<index_t>(values.size()); }
    float const* read(index_t first, index_t count, float* buffer) const {
        auto const* const from = values.data() + first;
        for (index_t i = 0; i < count; ++i) buffer[i] = from[i];
        return buffer;
    }
};

/// The first NaN or infinity that any thread found.
class finite_guard {
  public:
    void found_at(index_t where) {
        auto seen = first_.load(std::memory_order_relaxed);
        while (where < seen && !first_.compare_exchange_weak(seen, where, std::memory_order_relaxed)) {
        }
    }

    /// Notes the first of `count` numbers at `x`, element `at` of the whole, that is not finite.
    void check(float const* x, index_t count, index_t at) {
        for (index_t i = 0; i < count; ++i)
            if (!std::isfinite(x[i])) return found_at(at + i);
    }

    template <class Source>
    void refuse(Source const& source) const {
        index_t const where = first_.load(std::memory_order_relaxed);
        if (where == none) return;
        float buffer[1];
        float const value = *source.read(where, 1, buffer);
        std::string const what = value != value ? "NaN" : value > 0 ? "infinity" : "-infinity";
        throw error({}, what + " at element " + std::to_string(where), "finite numbers to quantize");
    }

  private:
    static constexpr index_t none = std::numeric_limits<index_t>::max();
    std::atomic<index_t> first_ = none;
};

inline void require_count(index_t found, shape extent) {
    if (found != extent.count())
        throw error({}, std::to_string(found) + " numbers to quantize",
                    std::to_string(extent.rows) + " x " + std::to_string(extent.columns));
}

/// A whole array is looked at in this many slices, whose results are put together in order.
inline constexpr index_t slices = 64;

struct slice {
    index_t first;
    index_t last;
};
constexpr slice slice_of(index_t count, index_t which, index_t multiple = 1) {
    index_t const length = round_up(divide_up(count, slices), multiple);
    return {std::min(count, which * length), std::min(count, (which + 1) * length)};
}

}  // namespace detail

}  // namespace snug::SNUG_TARGET::quantization
