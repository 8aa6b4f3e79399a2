// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <ranges>
#include <snug/precision/bf16.hpp>
#include <snug/quantization/scheme.hpp>
#include <snug/units.hpp>
#include <span>
#include <vector>

namespace snug::SNUG_TARGET::quantization {

/// An array or matrix that owns its quantized form: for use without a trainer, where nobody planned the memory.
template <quantization_scheme Scheme>
class quantized_array {
  public:
    /// Quantizes floats, or bf16 where the scheme reads those.
    template <std::ranges::contiguous_range Values, class Loop = serial_loop>
    explicit quantized_array(Values const& values, Loop const& loop = {})
        : quantized_array(values, shape{1, static_cast<index_t>(std::ranges::size(values))}, loop) {}

    template <std::ranges::contiguous_range Values, class Loop = serial_loop>
    quantized_array(Values const& values, shape extent, Loop const& loop = {})
        : shape_(extent), lines_(line_count(extent)) {
        using value = std::ranges::range_value_t<Values>;
        Scheme::encode(std::span<value const>(std::ranges::data(values), std::ranges::size(values)), extent,
                       region(), loop);
    }

    shape extent() const { return shape_; }
    index_t size() const { return shape_.count(); }
    bytes storage() const { return Scheme::storage(shape_); }
    std::byte const* region() const { return reinterpret_cast<std::byte const*>(lines_.data()); }
    typename Scheme::view view() const { return Scheme::view_of(region(), shape_); }

    template <class T>
    void decode(index_t first, index_t count, T* out) const {
        Scheme::decode(view(), first, count, out);
    }
    template <class T = float>
    std::vector<T> decoded() const {
        std::vector<T> result(static_cast<std::size_t>(size()));
        decode(0, size(), result.data());
        return result;
    }
    std::vector<std::uint8_t> codes() const requires coded_scheme<Scheme> {
        std::vector<std::uint8_t> result(static_cast<std::size_t>(size()));
        Scheme::codes(view(), 0, size(), result.data());
        return result;
    }

  private:
    struct alignas(64) line {
        std::array<std::byte, 64> content;
    };
    static std::size_t line_count(shape extent) {
        return static_cast<std::size_t>(round_up(Scheme::storage(extent).count, 64) / 64);
    }
    std::byte* region() { return reinterpret_cast<std::byte*>(lines_.data()); }

    shape shape_;
    std::vector<line> lines_;
};

}  // namespace snug::SNUG_TARGET::quantization
