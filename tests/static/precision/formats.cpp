// SPDX-License-Identifier: Apache-2.0
#include <snug/precision/formats.hpp>

#include <concepts>
#include <limits>
#include <type_traits>

namespace outside {

/// A format of a user: one line, no registration.
struct fp6 : snug::small_float<fp6, snug::float_layout{3, 2, 3, snug::special_codes::none}, std::uint8_t> {
    static constexpr std::string_view name = "fp6";
    using small_float::small_float;
};

}  // namespace outside

namespace {

using namespace snug;
using outside::fp6;

template <class... Ts>
constexpr bool all_are_formats = (number_format<Ts> && ...);
static_assert(
    all_are_formats<float, double, tf32, fp16, bf16, fp8_e4m3, fp8_e5m2, fp4_e2m1, int8, uint8, int4, fp6>);
static_assert(!number_format<nf4_code> && !number_format<fp4_code>,
              "a code is a number only through its table");
static_assert(!number_format<bool> && !number_format<std::int64_t> && !number_format<void*>);

// Storage: nothing but the bits, so that memcpy, files and devices can have them.
template <class... Ts>
constexpr bool all_are_plain = ((std::is_trivial_v<Ts> && std::is_standard_layout_v<Ts>)&&...);
static_assert(all_are_plain<tf32, fp16, bf16, fp8_e4m3, fp8_e5m2, fp4_e2m1, int4, nf4_code, fp4_code, fp6>);
static_assert(sizeof(tf32) == 4 && sizeof(fp16) == 2 && sizeof(bf16) == 2 && sizeof(fp8_e4m3) == 1);
static_assert(sizeof(fp8_e5m2) == 1 && sizeof(fp4_e2m1) == 1 && sizeof(int8) == 1 && sizeof(int4) == 1);

// Widening is implicit and exact, narrowing has to be asked for.
template <class... Ts>
constexpr bool all_narrow_on_request = ((std::is_convertible_v<Ts, float> &&
                                         !std::is_convertible_v<float, Ts> &&
                                         std::is_constructible_v<Ts, float>)&&...);
static_assert(all_narrow_on_request<tf32, fp16, bf16, fp8_e4m3, fp8_e5m2, fp4_e2m1, int4, fp6>);

// The constants against <limits> and the published figures.
template <class T>
constexpr bool as_in_the_standard_library =
    number_traits<T>::largest == std::numeric_limits<T>::max() &&
    number_traits<T>::lowest == std::numeric_limits<T>::lowest() &&
    number_traits<T>::smallest_normal == std::numeric_limits<T>::min() &&
    number_traits<T>::smallest_subnormal == std::numeric_limits<T>::denorm_min() &&
    number_traits<T>::epsilon == std::numeric_limits<T>::epsilon() &&
    number_traits<T>::mantissa_bits + 1 == std::numeric_limits<T>::digits&& number_traits<T>::has_infinity
        == std::numeric_limits<T>::has_infinity&& number_traits<T>::bits == sizeof(T) * 8;
static_assert(as_in_the_standard_library<float> && as_in_the_standard_library<double>);

static_assert(number_traits<fp16>::largest == 65504 && number_traits<fp16>::smallest_normal == 0x1p-14 &&
              number_traits<fp16>::smallest_subnormal == 0x1p-24 && number_traits<fp16>::epsilon == 0x1p-10);
static_assert(number_traits<bf16>::largest == 0x1.FEp127 &&
              number_traits<bf16>::smallest_normal == 0x1p-126 &&
              number_traits<bf16>::smallest_subnormal == 0x1p-133 && number_traits<bf16>::epsilon == 0x1p-7);
static_assert(number_traits<tf32>::bits == 19 &&
              number_traits<tf32>::epsilon == number_traits<fp16>::epsilon &&
              number_traits<tf32>::smallest_normal == number_traits<float>::smallest_normal);
static_assert(number_traits<fp8_e4m3>::largest == 448 && number_traits<fp8_e4m3>::smallest_normal == 0x1p-6 &&
              number_traits<fp8_e4m3>::smallest_subnormal == 0x1p-9 &&
              !number_traits<fp8_e4m3>::has_infinity && number_traits<fp8_e4m3>::has_nan);
static_assert(number_traits<fp8_e5m2>::largest == 57344 &&
              number_traits<fp8_e5m2>::smallest_normal == 0x1p-14 &&
              number_traits<fp8_e5m2>::smallest_subnormal == 0x1p-16 &&
              number_traits<fp8_e5m2>::has_infinity);
static_assert(number_traits<fp4_e2m1>::largest == 6 && number_traits<fp4_e2m1>::smallest_subnormal == 0.5 &&
              !number_traits<fp4_e2m1>::has_nan && number_traits<fp4_e2m1>::codes == 16);
static_assert(number_traits<int8>::lowest == -128 && number_traits<int8>::largest == 127 &&
              number_traits<uint8>::lowest == 0 && number_traits<uint8>::largest == 255 &&
              number_traits<int4>::lowest == -8 && number_traits<int4>::largest == 7 &&
              number_traits<int4>::codes == 16);
static_assert(number_traits<fp6>::largest == 28 && number_traits<fp6>::smallest_subnormal == 0x1p-4,
              "MX FP6 E3M2");

template <class T>
constexpr bool bits_add_up =
    number_traits<T>::sign_bits + number_traits<T>::exponent_bits + number_traits<T>::mantissa_bits ==
    number_traits<T>::bits;
static_assert(bits_add_up<double> && bits_add_up<float> && bits_add_up<tf32> && bits_add_up<fp16> &&
              bits_add_up<bf16>);
static_assert(bits_add_up<fp8_e4m3> && bits_add_up<fp8_e5m2> && bits_add_up<fp4_e2m1>);
static_assert(bits_add_up<int8> && bits_add_up<uint8> && bits_add_up<int4>);

static_assert(number_traits<fp6>::name == "fp6" && element_name<fp8_e4m3> == "fp8_e4m3" &&
              element_name<bf16> == "bf16");
static_assert(element_name<double> == "fp64" && element_name<uint8> == "uint8" &&
              element_name<nf4_code> == "nf4");
struct unnamed {};
static_assert(element_name<unnamed> == "bytes");

// Conversions hold at compile time; tests/host checks them all.
static_assert(fp16{1.0f}.bits == 0x3C00 && fp16{65519.0f}.bits == 0x7BFF && fp16{65520.0f}.bits == 0x7C00);
static_assert(fp16{0x1p-25f}.bits == 0 && fp16{0x1.000002p-25f}.bits == 1,
              "halfway to the smallest goes to the even 0");
static_assert(fp8_e4m3{464.0f}.bits == 0x7E && fp8_e4m3{465.0f}.bits == 0x7F && fp8_e4m3{-1e9f}.bits == 0xFF);
static_assert(round_nearest<fp8_e4m3, overflow::saturating>(-1e9f) == -448.0f);
static_assert(round_nearest<fp16, overflow::saturating>(std::numeric_limits<float>::infinity()) == 65504.0f);
static_assert(fp8_e5m2{61439.0f} == 57344.0f && fp8_e5m2{61440.0f} == std::numeric_limits<float>::infinity());
static_assert(fp4_e2m1{1e9f} == 6.0f && fp4_e2m1{std::numeric_limits<float>::quiet_NaN()} == 0.0f);
static_assert(tf32{1.0f + 0x1p-11f}.bits == 0x3F800000 && tf32{1.0f + 0x1.8p-10f}.bits == 0x3F804000);
static_assert(round_nearest<int8>(-3.5f) == -4 && round_nearest<int8>(2.5f) == 2 &&
              round_nearest<uint8>(-1.0f) == 0);
static_assert(int4{6.5f}.value == 6 && int4{1e9f}.value == 7 && int4{-1e9f}.value == -8);
static_assert(round_nearest<float>(0.1) == 0.1f &&
              round_nearest<float, overflow::saturating>(1e300) == std::numeric_limits<float>::max());
static_assert(round_nearest<bf16>(1.0 + 0x1p-8 + 0x1p-40).bits == 0x3F81 &&
                  bf16{static_cast<float>(1.0 + 0x1p-8 + 0x1p-40)}.bits == 0x3F80,
              "from double it is rounded once, not by way of float");

static_assert(stochastic_bf16(1.0f + 0x1p-9f, 0xBFFF).bits == 0x3F80 &&
                  stochastic_bf16(1.0f + 0x1p-9f, 0xC000).bits == 0x3F81,
              "a quarter of the way up: a quarter of the random numbers");
static_assert(std::same_as<decltype(round_stochastic<int8>(0.5f, 0u)), int8>);
static_assert(round_stochastic<float>(0.1f, 0xFFFFFFFFu) == 0.1f, "nothing to round");

}  // namespace
