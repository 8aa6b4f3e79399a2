// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <snug/precision/fp16.hpp>
#include <snug/quantization/whole.hpp>
#include <string>
#include <type_traits>

namespace snug::SNUG_TARGET::quantization {

namespace detail {

template <class Format>
struct type_range_spans_a_number_format {
    static constexpr bool holds = number_format<Format>;
    static_assert(
        holds,
        "snug: type_range spans the whole range of a number format, such as snug::fp16 or snug::bf16 "
        "(see Format)");
};

}  // namespace detail

/// 255 evenly spaced codes over the whole range of a number format, -65504 to 65504 for fp16, whatever the numbers are;
/// what lies beyond gets the last code. The scheme that shows why the others exist: weights are all far smaller than
/// half a step.
template <class Format = fp16>
struct type_range
    : whole<range_code<
          std::conditional_t<detail::type_range_spans_a_number_format<Format>::holds, Format, fp16>, 8>> {
    static std::string name() { return "type_range<" + std::string(number_traits<Format>::name) + ">"; }
};

}  // namespace snug::SNUG_TARGET::quantization
