// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <snug/error.hpp>
#include <snug/meta.hpp>
#include <snug/policy.hpp>
#include <snug/precision/policies.hpp>
#include <snug/precision/rounding.hpp>
#include <snug/quantization/absmax.hpp>
#include <snug/quantization/blockwise.hpp>
#include <snug/quantization/pieces.hpp>
#include <snug/quantization/scheme.hpp>
#include <snug/units.hpp>
#include <span>
#include <string>

namespace snug::SNUG_TARGET::quantization {

/// What counts as an outlier: a magnitude above Numerator / Denominator times the root mean square of the matrix, so
/// that one threshold fits the tensors of a model, whose sizes differ.
template <index_t Numerator, index_t Denominator = 1>
struct threshold {
    static_assert(Numerator >= 0 && Denominator >= 1,
                  "snug: a threshold is a fraction that is not negative: threshold<6>, threshold<13, 2>");
    static std::string name() {
        return "threshold<" + std::to_string(Numerator) +
               (Denominator == 1 ? ">" : ", " + std::to_string(Denominator) + ">");
    }
    static constexpr double times = static_cast<double>(Numerator) / static_cast<double>(Denominator);
};

/// For how many columns with outliers there is room. Fixed, because the bytes of a matrix must not depend on its numbers.
template <index_t Count>
struct outlier_columns {
    static_assert(Count >= 1 && Count <= 4096, "snug: there is room for 1 to 4096 outlier_columns");
    static constexpr index_t count = Count;
};

namespace detail {

/// What an outlier_split is made of, in this order.
template <class Threshold, class Scheme, class Columns, class Kept>
struct an_outlier_split_is_made_of {
    static constexpr bool has_threshold = requires {
        { Threshold::times } -> std::convertible_to<double>;
        { Threshold::name() } -> std::convertible_to<std::string>;
    };
    static constexpr bool has_scheme =
        coded_scheme<Scheme> && requires(float_source source, shape extent, std::byte* region) {
        Scheme::encode_from(source, extent, region, serial_loop{});
    };
    static constexpr bool has_columns = requires {
        { Columns::count } -> std::convertible_to<index_t>;
    };
    static constexpr bool has_format = element_type<Kept>;
    static constexpr bool holds = has_threshold && has_scheme && has_columns && has_format;
    static_assert(has_threshold,
                  "snug: the first argument of outlier_split says what an outlier is: "
                  "outlier_split<threshold<6>, blockwise<absmax, 64>> (see Threshold)");
    static_assert(
        has_scheme || !has_threshold,
        "snug: the second argument of outlier_split is one of snug's schemes with codes, for what is "
        "no outlier, such as blockwise<absmax, 64> or int8<64> (see Scheme)");
    static_assert(has_columns || !has_scheme || !has_threshold,
                  "snug: the third argument of outlier_split is the room for columns with outliers, "
                  "outlier_columns<16> (see Columns)");
    static_assert(
        has_format || !has_columns || !has_scheme || !has_threshold,
        "snug: the fourth argument of outlier_split is the format that outliers are kept in, such as "
        "snug::bf16 or snug::fp32 (see Kept)");
};

template <class Threshold, class Scheme, class Columns, class Kept>
struct split_off {
    using axis = snug::axis::quantization;
    static constexpr int code_count = Scheme::code_count;

    struct layout {
        index_t rest;
        index_t columns;
        index_t kept;
        bytes total;
    };
    static constexpr layout layout_of(shape extent) {
        bool const any = extent.count() > 0;
        detail::region_layout region;
        layout result{};
        result.rest = region.add(Scheme::storage(extent).count);
        result.columns = region.add(any ? (1 + Columns::count) * index_t{sizeof(std::uint32_t)} : 0);
        result.kept = region.add(any ? extent.rows * Columns::count * index_t{sizeof(Kept)} : 0);
        result.total = region.total();
        return result;
    }
    static constexpr bytes storage(shape extent) { return layout_of(extent).total; }
    static constexpr bytes storage(index_t count) { return storage(shape{1, count}); }

    struct view {
        typename Scheme::view rest;
        std::uint32_t const* columns;  ///< how many, then which, ascending
        Kept const* kept;
        index_t row_length;
    };
    static view view_of(std::byte const* region, shape extent) {
        auto const at = layout_of(extent);
        return {Scheme::view_of(region + at.rest, extent),
                reinterpret_cast<std::uint32_t const*>(region + at.columns),
                reinterpret_cast<Kept const*>(region + at.kept), extent.columns};
    }

    template <class Loop = serial_loop>
    static void encode(std::span<float const> values, shape extent, std::byte* region,
                       Loop const& loop = {}) {
        encode_from(detail::float_source{values}, extent, region, loop);
    }
    template <class Loop = serial_loop>
    static void encode(std::span<bf16 const> values, shape extent, std::byte* region, Loop const& loop = {}) {
        encode_from(detail::bf16_source{values}, extent, region, loop);
    }

    template <class Source, class Loop>
    static void encode_from(Source const& source, shape extent, std::byte* region, Loop const& loop) {
        detail::require_count(source.size(), extent);
        if (extent.count() == 0) return;
        auto const at = layout_of(extent);
        auto* const columns = reinterpret_cast<std::uint32_t*>(region + at.columns);
        std::fill_n(columns, 1 + Columns::count, 0u);
        find_columns(source, extent, loop, columns);
        auto* const kept = reinterpret_cast<Kept*>(region + at.kept);
        index_t const used = columns[0];
        loop(extent.rows, [&](index_t row) {
            for (index_t k = 0; k < Columns::count; ++k) {
                float buffer[1] = {0};
                float const value =
                    k < used ? *source.read(row * extent.columns + columns[1 + k], 1, buffer) : 0.0f;
                kept[row * Columns::count + k] = round_nearest<Kept, overflow::saturating>(value);
            }
        });
        Scheme::encode_from(rest_of<Source>{source, columns, extent.columns}, extent, region + at.rest, loop);
    }

    template <class T>
    static void decode(view const& stored, index_t first, index_t count, T* out) {
        Scheme::decode(stored.rest, first, count, out);
        for_each_kept(
            stored.columns, stored.row_length, first, count, [&](index_t position, index_t row, index_t k) {
                out[position - first] = T(static_cast<float>(stored.kept[row * Columns::count + k]));
            });
    }

    static void codes(view const& stored, index_t first, index_t count, std::uint8_t* out) {
        Scheme::codes(stored.rest, first, count, out);
    }

  private:
    /// Calls f(position, row, which) for every kept element among [first, first + count).
    template <class F>
    static void for_each_kept(std::uint32_t const* columns, index_t row_length, index_t first, index_t count,
                              F const& f) {
        if (count == 0 || columns[0] == 0) return;
        index_t const used = columns[0];
        for (index_t row = first / row_length; row * row_length < first + count; ++row)
            for (index_t k = 0; k < used; ++k) {
                index_t const position = row * row_length + columns[1 + k];
                if (position >= first && position < first + count) f(position, row, k);
            }
    }

    /// The matrix with zeros in place of what is kept.
    template <class Source>
    struct rest_of {
        Source const& source;
        std::uint32_t const* columns;
        index_t row_length;

        index_t size() const { return source.size(); }
        float const* read(index_t first, index_t count, float* buffer) const {
            float const* const x = source.read(first, count, buffer);
            if (x != buffer) std::copy_n(x, count, buffer);
            for_each_kept(columns, row_length, first, count,
                          [&](index_t position, index_t, index_t) { buffer[position - first] = 0; });
            return buffer;
        }
    };

    template <class Source, class Loop>
    static void find_columns(Source const& source, shape extent, Loop const& loop, std::uint32_t* columns) {
        (void)detail::extremes_of_all(source, loop);  // refuses what is not finite
        auto const sums =
            detail::by_slices<double>(source, loop, [](double& sum, index_t, index_t count, float const* x) {
                for (index_t i = 0; i < count; ++i) sum += double{x[i]} * double{x[i]};
            });
        double total = 0;
        for (double const sum : sums) total += sum;
        double const limit = Threshold::times * std::sqrt(total / static_cast<double>(extent.count()));
        auto const is_outlier = [&](float x) { return std::fabs(double{x}) > limit; };

        serial_loop const in_order;
        detail::for_each_piece(source, in_order, [&](index_t first, index_t count, float const* x) {
            if (!is_outlier(detail::extremes_of(x, count).absmax())) return;
            for (index_t i = 0; i < count; ++i)
                if (is_outlier(x[i])) add(columns, static_cast<std::uint32_t>((first + i) % extent.columns));
        });
    }

    /// Puts a column into the ascending list, unless it is there.
    static void add(std::uint32_t* columns, std::uint32_t column) {
        auto* const begin = columns + 1;
        auto* const end = begin + columns[0];
        auto* const place = std::lower_bound(begin, end, column);
        if (place != end && *place == column) return;
        if (columns[0] == Columns::count)
            throw error({}, "outliers in more than " + std::to_string(Columns::count) + " columns",
                        "no more than outlier_columns<...> has room for: raise it, or the threshold");
        std::copy_backward(place, end, end + 1);
        *place = column;
        ++columns[0];
    }
};

}  // namespace detail

/// Columns in which any number is an outlier are kept in the format `Kept`; the rest goes to `Scheme`, which sees zeros
/// in their place (after "LLM.int8()", arXiv 2208.07339, which does so with activations). An array is one row, so its
/// outliers are kept one by one. Throws snug::error when a matrix has more such columns than there is room for. The
/// region holds that of `Scheme`, then the count and the indices of columns, then their numbers, row by row.
template <class Threshold, class Scheme = blockwise<absmax, 64>, class Columns = outlier_columns<16>,
          class Kept = bf16>
struct outlier_split
    : std::conditional_t<detail::an_outlier_split_is_made_of<Threshold, Scheme, Columns, Kept>::holds,
                         detail::split_off<Threshold, Scheme, Columns, Kept>, blockwise<absmax, 64>> {
    // Refused, it is another scheme, so that the refusal is the only error.
    static std::string name() {
        return "outlier_split<" + Threshold::name() + ", " + name_of<Scheme>() + ", outlier_columns<" +
               std::to_string(Columns::count) + ">, " + std::string(element_name<Kept>) + ">";
    }
};

}  // namespace snug::SNUG_TARGET::quantization
