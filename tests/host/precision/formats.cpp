// SPDX-License-Identifier: Apache-2.0
#include <snug/precision/formats.hpp>
#include <snug/random.hpp>

#include <catch2/catch.hpp>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <limits>
#include <map>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#if defined(__SSE2__)
#include <xmmintrin.h>
#endif

namespace {

using namespace snug;

/// MX FP6 E2M3, which snug does not have: a format as a user would add it.
struct fp6_e2m3 : small_float<fp6_e2m3, float_layout{2, 3, 1, special_codes::none}, std::uint8_t> {
    static constexpr std::string_view name = "fp6_e2m3";
    using small_float::small_float;
};

constexpr float infinity = std::numeric_limits<float>::infinity();
constexpr std::uint32_t sign_bit = 0x80000000u;

std::uint32_t bits_of(float value) { return std::bit_cast<std::uint32_t>(value); }
float float_of(std::uint32_t bits) { return std::bit_cast<float>(bits); }
std::uint32_t one_nan(std::uint32_t bits) {
    return (bits & ~sign_bit) > 0x7F800000u ? (bits & sign_bit) | 0x7FC00000u : bits;
}

template <class T>
constexpr std::uint32_t code_count = 1u << T::layout.bits();
template <class T>
constexpr std::uint32_t sign_code = code_count<T> / 2;

template <class T>
float number(std::uint32_t code) {
    return static_cast<float>(T::from_code(code));
}

template <class T>
std::uint32_t one_nan_code(T value) {
    return std::isnan(static_cast<float>(value)) ? (value.code() & sign_code<T>) | (sign_code<T> - 1)
                                                 : value.code();
}

/// All finite numbers but the negative ones, ascending.
template <class T>
std::vector<float> magnitudes() {
    std::vector<float> result;
    for (std::uint32_t code = 0; code < sign_code<T>; ++code)
        if (std::isfinite(number<T>(code))) result.push_back(number<T>(code));
    return result;
}

// --- the reference: see tests/reference/make_format_fixtures.py for the rules
// -------------------------------------

struct expectation {
    std::vector<std::pair<std::uint32_t, std::uint32_t>> codes, pairs;
    std::map<std::uint32_t, std::uint64_t> decoded, rounded, random;
};

expectation expected_of(std::string_view format) {
    std::ifstream file{SNUG_TEST_DATA "/number_formats.txt"};
    expectation result;
    bool here = false;
    for (std::string line; std::getline(file, line);) {
        std::istringstream words{line};
        std::string kind, name;
        words >> kind;
        if (kind == "format") {
            words >> name;
            here = name == format;
        }
        if (!here || kind == "format") continue;
        std::uint32_t first{};
        std::uint64_t second{};
        words >> std::hex >> first >> second;
        if (kind == "code") result.codes.emplace_back(first, static_cast<std::uint32_t>(second));
        else if (kind == "pair") result.pairs.emplace_back(first, static_cast<std::uint32_t>(second));
        else if (kind == "decoded") result.decoded[first] = second;
        else if (kind == "rounded") result.rounded[first] = second;
        else if (kind == "random") result.random[first] = second;
        else FAIL("number_formats.txt: unknown line " << line);
    }
    return result;
}

/// FNV-1a over little-endian words of `size` bytes.
struct fnv1a {
    int size;
    std::uint64_t value = 0xCBF29CE484222325u;
    void add(std::uint32_t word) {
        for (int byte = 0; byte < size; ++byte)
            value = (value ^ (word >> (8 * byte) & 0xFFu)) * 0x100000001B3u;
    }
};

template <class T>
std::vector<float> inputs_around(std::uint32_t first) {
    std::vector<float> result;
    for (auto code = first; code < std::min(first + 256, code_count<T>); ++code) {
        auto const value = number<T>(code);
        if (!std::isfinite(value)) continue;
        bool const last = (code + 1) % sign_code<T> == 0 || !std::isfinite(number<T>(code + 1));
        auto const step = last ? value - number<T>(code - 1) : number<T>(code + 1) - value;
        auto const middle = bits_of(value + step / 2);
        result.insert(result.end(), {value, float_of(middle), float_of(middle - 1), float_of(middle + 1)});
    }
    return result;
}

constexpr std::uint32_t random_count = 65536;

template <class T>
float random_input(std::uint32_t i) {
    auto const draw = random::mix(i + 1);
    auto word = static_cast<std::uint32_t>(draw >> 32);
    if (i % 2 == 1) {
        constexpr auto layout = T::layout;
        constexpr int low = std::max(0, 127 - layout.bias - layout.mantissa_bits - 3);
        constexpr int span = std::min((1 << layout.exponent_bits) + layout.mantissa_bits + 6, 255 - low);
        auto const exponent =
            static_cast<std::uint32_t>(low) + (draw & 0xFFFFu) % static_cast<std::uint32_t>(span);
        word = (word & 0x807FFFFFu) | static_cast<std::uint32_t>(exponent) << 23;
    }
    auto const value = float_of(word);
    return std::isnan(value) && !number_traits<T>::has_nan ? 0.0f : value;
}

/// A step of the format at `value`, which must not be larger than its largest number.
template <class T>
double step_at(float value) {
    auto const exponent = std::max(std::ilogb(value), 1 - T::layout.bias);
    return std::ldexp(1.0, exponent - T::layout.mantissa_bits);
}

}  // namespace

// --- against ml_dtypes and numpy
// ----------------------------------------------------------------------------------

TEMPLATE_TEST_CASE("every code stands for the number that ml_dtypes says", "", fp16, bf16, fp8_e4m3, fp8_e5m2,
                   fp4_e2m1) {
    auto const expected = expected_of(TestType::name);
    REQUIRE(expected.decoded.size() == (code_count<TestType> + 255) / 256);
    if (code_count<TestType> <= 256) REQUIRE(expected.codes.size() == code_count<TestType>);
    for (auto const& [code, bits] : expected.codes) {
        INFO("code " << code);
        CHECK(one_nan(bits_of(number<TestType>(code))) == bits);
    }
    for (auto const& [first, hash] : expected.decoded) {
        fnv1a own{4};
        for (auto code = first; code < std::min(first + 256, code_count<TestType>); ++code)
            own.add(one_nan(bits_of(number<TestType>(code))));
        INFO("codes from " << first);
        CHECK(own.value == hash);
    }
}

TEMPLATE_TEST_CASE("floats round as in ml_dtypes: at, halfway between and beside all numbers, and at random",
                   "", fp16, bf16, fp8_e4m3, fp8_e5m2, fp4_e2m1) {
    auto const expected = expected_of(TestType::name);
    REQUIRE(expected.pairs.size() > 180);
    REQUIRE(expected.rounded.size() == (code_count<TestType> + 255) / 256);
    REQUIRE(expected.random.size() == random_count / 1024);
    for (auto const& [bits, code] : expected.pairs) {
        INFO("float bits " << std::hex << bits);
        CHECK(one_nan_code(TestType{float_of(bits)}) == code);
    }
    for (auto const& [first, hash] : expected.rounded) {
        fnv1a own{2};
        for (auto const value : inputs_around<TestType>(first)) own.add(one_nan_code(TestType{value}));
        INFO("around the codes from " << first);
        CHECK(own.value == hash);
    }
    for (auto const& [first, hash] : expected.random) {
        fnv1a own{2};
        for (auto i = first; i < first + 1024; ++i)
            own.add(one_nan_code(TestType{random_input<TestType>(i)}));
        INFO("random inputs from " << first);
        CHECK(own.value == hash);
    }
}

// --- properties
// ---------------------------------------------------------------------------------------------------

TEMPLATE_TEST_CASE("every code survives the way to float and back", "", tf32, fp16, bf16, fp8_e4m3, fp8_e5m2,
                   fp4_e2m1, fp6_e2m3) {
    std::uint32_t changed = 0;
    for (std::uint32_t code = 0; code < code_count<TestType>; ++code) {
        auto const value = TestType::from_code(code);
        changed += one_nan_code(TestType{static_cast<float>(value)}) != one_nan_code(value);
    }
    CHECK(changed == 0);
    CHECK(number_traits<TestType>::name == TestType::name);
}

TEMPLATE_TEST_CASE("a double is rounded once: a hair beside halfway decides", "", tf32, fp16, bf16, fp8_e4m3,
                   fp8_e5m2, fp4_e2m1, fp6_e2m3) {
    auto const numbers = magnitudes<TestType>();
    std::uint32_t wrong = 0;
    for (std::size_t i = 0; i + 1 < numbers.size(); ++i) {
        auto const lower = static_cast<double>(numbers[i]), upper = static_cast<double>(numbers[i + 1]);
        auto const middle = (lower + upper) / 2;
        auto const even = i % 2 == 0 ? lower : upper;
        auto const rounded = [](double value) {
            return static_cast<double>(static_cast<float>(round_nearest<TestType>(value)));
        };
        wrong += rounded(lower) != lower;
        wrong += rounded(std::nextafter(middle, lower)) != lower;
        wrong += rounded(middle) != even || rounded(-middle) != -even;
        wrong += rounded(std::nextafter(middle, upper)) != upper;
    }
    CHECK(wrong == 0);
    CHECK(static_cast<float>(round_nearest<TestType, overflow::saturating>(-1e300)) == -numbers.back());
    CHECK(round_nearest<TestType>(std::numeric_limits<double>::denorm_min()).code() == 0);
}

TEMPLATE_TEST_CASE("saturating gives the largest number where the format has none, and nothing else changes",
                   "", tf32, fp16, bf16, fp8_e4m3, fp8_e5m2, fp4_e2m1) {
    auto const largest = static_cast<float>(number_traits<TestType>::largest);
    std::uint32_t wrong = 0, clamped = 0;
    for (std::uint32_t i = 0; i < random_count; ++i) {
        auto const value = random_input<TestType>(i);
        auto const natural = TestType{value};
        auto const saturated = round_nearest<TestType, overflow::saturating>(value);
        bool const beyond = !std::isnan(value) && !std::isfinite(static_cast<float>(natural));
        clamped += beyond;
        if (beyond) wrong += static_cast<float>(saturated) != std::copysign(largest, value);
        else wrong += saturated.bits != natural.bits;
    }
    CHECK(wrong == 0);
    if (number_traits<TestType>::exponent_bits == 8 || !number_traits<TestType>::has_nan) CHECK(clamped == 0);
    else CHECK(clamped > 1000);
    CHECK(static_cast<float>(round_nearest<TestType, overflow::saturating>(infinity)) == largest);
    CHECK(static_cast<float>(round_nearest<TestType, overflow::saturating>(-infinity)) == -largest);
    CHECK(static_cast<float>(
              round_nearest<TestType, overflow::saturating>(std::numeric_limits<float>::max())) == largest);
}

#if defined(__SSE2__)
TEMPLATE_TEST_CASE("subnormals are kept when the processor flushes its own", "", fp16, bf16, fp8_e4m3,
                   fp8_e5m2) {
    std::uint32_t lost = 0;
    auto const before = _mm_getcsr();
    _mm_setcsr(before | 0x8040u);  // flush to zero, denormals are zero
    for (std::uint32_t code = 1; code < (1u << TestType::layout.mantissa_bits); ++code) {
        auto const value = number<TestType>(code);
        lost += (bits_of(value) & ~sign_bit) == 0 || TestType{value}.code() != code;
    }
    _mm_setcsr(before);
    CHECK(lost == 0);
}
#endif

TEST_CASE("tf32 is the nearest of the floats with 13 zero bits") {
    std::uint32_t wrong = 0;
    for (std::uint32_t i = 0; i < random_count; ++i) {
        auto const value = random_input<tf32>(i);
        if (!std::isfinite(value) || std::abs(value) > number_traits<tf32>::largest || value == 0) continue;
        auto const step = step_at<tf32>(value);
        auto const nearest = std::nearbyint(static_cast<double>(value) / step) * step;
        wrong += static_cast<double>(static_cast<float>(tf32{value})) != nearest ||
                 (tf32{value}.bits & 0x1FFFu) != 0;
    }
    CHECK(wrong == 0);
}

TEMPLATE_TEST_CASE("integers are rounded to nearest, halfway to even, and clamp", "", int8, uint8, int4) {
    using traits = number_traits<TestType>;
    auto const expected = [](double value) {
        return std::clamp(std::nearbyint(value), traits::lowest, traits::largest);
    };
    auto const as_double = [](TestType value) { return static_cast<double>(static_cast<float>(value)); };
    std::uint32_t wrong = 0;
    for (int halves = -700; halves <= 700; ++halves) {
        auto const value = static_cast<float>(halves) / 2;
        for (float const beside :
             {value, std::nextafter(value, -infinity), std::nextafter(value, infinity)}) {
            wrong += as_double(round_nearest<TestType>(beside)) != expected(static_cast<double>(beside));
            wrong += as_double(round_nearest<TestType>(static_cast<double>(beside))) !=
                     expected(static_cast<double>(beside));
        }
    }
    CHECK(wrong == 0);
    for (float const value : {1e-45f, -1e-45f, 1e-30f, 1e30f, -1e30f, infinity, -infinity})
        CHECK(as_double(round_nearest<TestType>(value)) == expected(static_cast<double>(value)));
    CHECK(as_double(round_nearest<TestType>(std::numeric_limits<float>::quiet_NaN())) == 0);
    CHECK(as_double(round_stochastic<TestType>(std::numeric_limits<float>::quiet_NaN(), 0xFFFFFFFFu)) == 0);
}

// --- stochastic rounding
// ------------------------------------------------------------------------------------------

TEMPLATE_TEST_CASE("over all random bits, stochastic rounding gives exactly the value on average", "", tf32,
                   fp16, bf16, fp8_e4m3, fp8_e5m2, fp4_e2m1, fp6_e2m3) {
    auto const numbers = magnitudes<TestType>();
    auto const stride = std::max<std::size_t>(1, numbers.size() / 150);
    std::uint32_t wrong = 0, tried = 0;
    for (std::size_t i = 0; i + 1 < numbers.size(); i += stride) {
        auto const lower = numbers[i], upper = numbers[i + 1];
        auto const value = lower + (upper - lower) * (0.5f + random::uniform(1, 0, i) / 2);
        if (!(lower < value && value < upper)) continue;
        // As many random numbers as the float has steps within one of the format: more bits play no part.
        auto const float_step = std::ldexp(1.0, std::max(std::ilogb(value), -126) - 23);
        auto const step = static_cast<double>(upper) - static_cast<double>(lower);
        auto const draws = static_cast<std::uint32_t>(step / float_step);
        std::uint32_t ups = 0, strangers = 0;
        for (std::uint32_t r = 0; r < draws; ++r) {
            auto const rounded = static_cast<float>(round_stochastic<TestType>(value, r));
            ups += rounded == upper;
            strangers += rounded != upper && rounded != lower;
        }
        ++tried;
        wrong += strangers != 0;
        wrong += ups * step != (static_cast<double>(value) - static_cast<double>(lower)) * draws;
        wrong += static_cast<float>(round_stochastic<TestType>(-value, draws / 3)) !=
                 -static_cast<float>(round_stochastic<TestType>(value, draws / 3));
        wrong += round_stochastic<TestType>(value, draws / 3).bits !=
                 round_stochastic<TestType>(value, draws / 3 + 5 * draws).bits;
    }
    CHECK(tried > 2);
    CHECK(wrong == 0);
}

TEMPLATE_TEST_CASE("stochastic rounding to an integer is unbiased on both sides of zero", "", int8, int4) {
    for (float const value : {0.25f, -0.25f, 0.7f, -0.7f, 5.5f, -5.5f, 0.001f}) {
        auto const places = -(std::ilogb(value) - 23);
        auto const draws = std::int64_t{1} << places;
        if (places > 24) continue;
        std::int64_t sum = 0;
        for (std::int64_t r = 0; r < draws; ++r)
            sum += static_cast<int>(
                static_cast<float>(round_stochastic<TestType>(value, static_cast<std::uint32_t>(r))));
        INFO("value " << value);
        CHECK(static_cast<double>(sum) == static_cast<double>(value) * static_cast<double>(draws));
    }
    CHECK(static_cast<float>(round_stochastic<TestType>(1e9f, 0xFFFFFFFFu)) ==
          number_traits<TestType>::largest);
    CHECK(static_cast<float>(round_stochastic<TestType>(-1e9f, 0xFFFFFFFFu)) ==
          number_traits<TestType>::lowest);
}

TEMPLATE_TEST_CASE("no random bits move a number of the format, an infinity or a NaN", "", tf32, fp16, bf16,
                   fp8_e4m3, fp8_e5m2, fp4_e2m1) {
    std::uint32_t moved = 0;
    for (std::uint32_t code = 0; code < code_count<TestType>; ++code)
        for (std::uint32_t const random : {0u, 1u, 0xFFFFu, 0x7FFFFFFFu, 0xFFFFFFFFu}) {
            auto const value = TestType::from_code(code);
            auto const rounded = round_stochastic<TestType>(static_cast<float>(value), random);
            moved += one_nan_code(rounded) != one_nan_code(value);
        }
    CHECK(moved == 0);
    if (number_traits<TestType>::has_nan)
        for (std::uint32_t const bits : {0x7F800001u, 0x7FFFFFFFu, 0xFF800001u, 0xFFFFFFFFu}) {
            auto const rounded = round_stochastic<TestType>(float_of(bits), 0xFFFFFFFFu);
            CHECK(one_nan(bits_of(static_cast<float>(rounded))) == one_nan(bits));
        }
}

TEST_CASE("a number below every step of the format keeps its chance") {
    // 2^-40 of the smallest number of fp4 would need more random bits than there are; 2^-30 does not.
    CHECK(round_stochastic<fp4_e2m1>(0x1p-31f, 0x7FFFFFFFu) == 0.5f);
    CHECK(round_stochastic<fp4_e2m1>(0x1p-31f, 0x7FFFFFFDu) == 0.0f);
    CHECK(round_stochastic<fp4_e2m1>(0x1p-100f, 0xFFFFFFFFu) == 0.0f);
    CHECK(round_stochastic<fp16>(1e-45f, 0xFFFFFFFFu) == 0.0f);
}

TEST_CASE("beyond the largest number stochastic rounding does what the overflow says") {
    auto const between = 65510.0f;
    CHECK(round_stochastic<fp16>(between, 0).bits == 0x7BFF);
    CHECK(round_stochastic<fp16>(between, 0xFFFFFFFFu).bits == 0x7C00);
    CHECK(round_stochastic<fp16, overflow::saturating>(between, 0xFFFFFFFFu).bits == 0x7BFF);
    CHECK(round_stochastic<fp8_e4m3>(1e9f, 0).bits == 0x7F);
    CHECK(round_stochastic<bf16, overflow::saturating>(-infinity, 7).bits == 0xFF7F);
}

TEST_CASE("updates too small for bf16 are lost to the nearest and kept by stochastic rounding") {
    constexpr float update = 0x1p-12f;  // a 32nd of the step above 1
    constexpr std::uint64_t count = 20'000;
    auto nearest = bf16{1.0f}, stochastic = bf16{1.0f};
    for (std::uint64_t i = 0; i < count; ++i) {
        nearest = bf16{nearest + update};
        stochastic = stochastic_bf16(stochastic + update, static_cast<std::uint32_t>(random::bits(0, 0, i)));
    }
    CHECK(nearest == 1.0f);
    // Per update the variance is at most update * step; the step grows to 2^-5 near 5.
    CHECK(std::abs(stochastic - (1 + update * count)) < 5 * std::sqrt(count * update * 0x1p-5f));
}

// --- the book
// -----------------------------------------------------------------------------------------------------

namespace {

template <class T>
void check_row(std::string const& page) {
    using traits = number_traits<T>;
    auto const start = page.find("| `" + std::string{traits::name} + "` |");
    INFO(traits::name);
    REQUIRE(start != std::string::npos);
    std::istringstream cells{page.substr(start, page.find('\n', start) - start)};
    std::string word;
    std::vector<double> found;
    while (cells >> word)
        if (std::isdigit(static_cast<unsigned char>(word.back())) != 0)
            found.push_back(std::strtod(word.c_str(), nullptr));
    std::vector<double> const wanted{
        traits::sign_bits, traits::exponent_bits,   traits::mantissa_bits,      traits::bias,
        traits::largest,   traits::smallest_normal, traits::smallest_subnormal, traits::epsilon};
    REQUIRE(found.size() == wanted.size());
    for (std::size_t i = 0; i < wanted.size(); ++i)
        CHECK(found[i] == Approx(wanted[i]).epsilon(1e-5).margin(0));
}

}  // namespace

TEST_CASE("the table in docs/formats.md is the table of the constants") {
    std::ifstream file{SNUG_TEST_DATA "/../../docs/formats.md"};
    std::stringstream page;
    page << file.rdbuf();
    check_row<double>(page.str());
    check_row<float>(page.str());
    check_row<tf32>(page.str());
    check_row<fp16>(page.str());
    check_row<bf16>(page.str());
    check_row<fp8_e4m3>(page.str());
    check_row<fp8_e5m2>(page.str());
    check_row<fp4_e2m1>(page.str());
    check_row<int8>(page.str());
    check_row<uint8>(page.str());
    check_row<int4>(page.str());
}
