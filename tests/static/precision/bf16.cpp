// SPDX-License-Identifier: Apache-2.0
#include <snug/precision/bf16.hpp>

#include <limits>
#include <type_traits>

namespace {

using snug::bf16;

static_assert(sizeof(bf16) == 2 && alignof(bf16) == 2);
static_assert(std::is_trivial_v<bf16> && std::is_standard_layout_v<bf16>);

// Widening loses nothing and is implicit; narrowing rounds and has to be asked for.
static_assert(std::is_convertible_v<bf16, float>);
static_assert(!std::is_convertible_v<float, bf16> && std::is_constructible_v<bf16, float>);

static_assert(bf16{1.0f}.bits == 0x3F80 && bf16{-2.0f}.bits == 0xC000);
static_assert(static_cast<float>(bf16::from_bits(0x0001)) == 0x1p-133f, "the smallest subnormal");
static_assert(bf16{std::numeric_limits<float>::max()}.bits == 0x7F80, "rounds up to infinity");
static_assert(bf16{0.0f} == bf16{-0.0f});
static_assert(bf16::from_bits(0x7FC0) != bf16::from_bits(0x7FC0), "a NaN is unequal to itself");

}  // namespace
