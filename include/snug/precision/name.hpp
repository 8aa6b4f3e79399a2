// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <snug/target.hpp>
#include <string_view>

namespace snug::SNUG_TARGET {

/// The name of an element type as files and reports spell it: its member `name` where it has one. Specialise
/// it for a type that cannot have a member.
template <class T>
inline constexpr std::string_view element_name = [] {
    if constexpr (requires { std::string_view{T::name}; }) return std::string_view{T::name};
    else return std::string_view{"bytes"};
}();
template <>
inline constexpr std::string_view element_name<double> = "fp64";
template <>
inline constexpr std::string_view element_name<float> = "fp32";
template <>
inline constexpr std::string_view element_name<std::int8_t> = "int8";
template <>
inline constexpr std::string_view element_name<std::uint8_t> = "uint8";
template <>
inline constexpr std::string_view element_name<std::int32_t> = "int32";

}  // namespace snug::SNUG_TARGET
