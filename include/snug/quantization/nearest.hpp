// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <snug/meta.hpp>
#include <snug/quantization/codebook.hpp>

#if defined(__AVX512F__)
#include <immintrin.h>
#endif

/// From numbers to codes: the inner loops of every encoder.
namespace snug::SNUG_TARGET::quantization::detail {

/// Numbers are looked up in strips that fit the nearest cache.
inline constexpr index_t strip = 64;

/// The lowest and the highest of some numbers and of zero.
struct extremes {
    float low = 0;
    float high = 0;

    constexpr float absmax() const { return std::max(high, -low); }
    constexpr void include(extremes const& other) {
        low = std::min(low, other.low);
        high = std::max(high, other.high);
    }
    constexpr bool finite() const {
        return high - low >= 0 && high <= 3.4028235e38f && low >= -3.4028235e38f;
    }
};

/// Extremes of x; not finite() exactly when one of the numbers is not.
inline extremes extremes_of(float const* x, index_t count) {
    // As integers in the order of the numbers: a loop over them vectorises, and NaNs are beyond the infinities.
    std::int32_t low = 0;
    std::int32_t high = 0;
    for (index_t i = 0; i < count; ++i) {
        auto const bits = std::bit_cast<std::int32_t>(x[i]);
        auto const key = bits ^ ((bits >> 31) & 0x7FFFFFFF);
        low = std::min(low, key);
        high = std::max(high, key);
    }
    // The key of -0 is -1: zero it, so that the lowest of positive numbers is 0.
    low = low == -1 ? 0 : low;
    return {std::bit_cast<float>(low ^ ((low >> 31) & 0x7FFFFFFF)), std::bit_cast<float>(high)};
}

/// Zero and the largest magnitude of x; not finite() exactly when one of the numbers is not. Half the work of
/// `extremes_of`.
inline extremes largest_magnitude_of(float const* x, index_t count) {
    std::int32_t largest = 0;
    for (index_t i = 0; i < count; ++i)
        largest = std::max(largest, std::bit_cast<std::int32_t>(x[i]) & 0x7FFFFFFF);
    return {0, std::bit_cast<float>(largest)};
}

typedef float float_lanes __attribute__((vector_size(64)));
typedef std::int32_t int_lanes __attribute__((vector_size(64)));
inline constexpr index_t lanes = 16;

/// Ascending bounds and the codes of the intervals between them.
template <std::size_t N>
struct few_intervals {
    static_assert(N == 15);
    std::array<float, N> bounds;
    std::array<std::int32_t, N + 1> code;

    /// The code of each number's interval. A number on a bound lies below it.
    void codes_of(float const* y, index_t count, std::uint8_t* codes) const {
        search const find(*this);
        index_t i = 0;
        for (; i + search::width <= count; i += search::width) find(y + i, codes + i);
        if (i == count) return;
        float last[search::width] = {};
        std::uint8_t last_codes[search::width];
        std::copy(y + i, y + count, last);
        find(last, last_codes);
        std::copy_n(last_codes, count - i, codes + i);
    }

  private:
#if defined(__AVX512F__)
    /// By halves: the next bound of every number is chosen from a register by what is known of its rank. (The masks keep
    /// every lane: GCC 12 takes the plain forms for a use of something uninitialized, its bug 105593.)
    class search {
      public:
        /// One store for all of them: what reads the codes next would have to wait for several.
        static constexpr index_t width = 64;

        explicit search(few_intervals const& of) {
            float padded[lanes];
            std::copy(of.bounds.begin(), of.bounds.end(), padded);
            padded[N] = of.bounds[N - 1];
            auto const places = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
            eight_ = _mm512_set1_ps(of.bounds[7]);
            one_ = _mm512_loadu_ps(padded);
            four_ = chosen(one_, _mm512_or_si512(places, _mm512_set1_epi32(3)));
            two_ = chosen(one_, _mm512_or_si512(places, _mm512_set1_epi32(1)));
            code_ = _mm512_loadu_si512(of.code.data());
        }

        void operator()(float const* y, std::uint8_t* codes) const {
            auto const low = _mm256_set_m128i(sixteen(y + 16), sixteen(y));
            auto const high = _mm256_set_m128i(sixteen(y + 48), sixteen(y + 32));
            _mm512_storeu_si512(codes, _mm512_maskz_inserti64x4(0xFF, _mm512_castsi256_si512(low), high, 1));
        }

      private:
        static constexpr __mmask16 every = 0xFFFF;

        __m128i sixteen(float const* numbers) const {
            auto const y = _mm512_loadu_ps(numbers);
            auto rank = _mm512_maskz_set1_epi32(_mm512_cmp_ps_mask(y, eight_, _CMP_GT_OQ), 8);
            rank = further(rank, _mm512_cmp_ps_mask(y, chosen(four_, rank), _CMP_GT_OQ), 4);
            rank = further(rank, _mm512_cmp_ps_mask(y, chosen(two_, rank), _CMP_GT_OQ), 2);
            rank = further(rank, _mm512_cmp_ps_mask(y, chosen(one_, rank), _CMP_GT_OQ), 1);
            return _mm512_maskz_cvtepi32_epi8(every, _mm512_maskz_permutexvar_epi32(every, rank, code_));
        }
        static __m512 chosen(__m512 from, __m512i place) {
            return _mm512_maskz_permutexvar_ps(every, place, from);
        }
        static __m512i further(__m512i rank, __mmask16 is_above, int step) {
            return _mm512_mask_or_epi32(rank, is_above, rank, _mm512_set1_epi32(step));
        }

        __m512 eight_, four_, two_, one_;
        __m512i code_;
    };
#else
    class search {
      public:
        static constexpr index_t width = lanes;

        explicit search(few_intervals const& of) : of_(of) {}

        void operator()(float const* y, std::uint8_t* codes) const {
            typedef std::uint8_t byte_lanes __attribute__((vector_size(16)));
            float_lanes numbers;
            std::memcpy(&numbers, y, sizeof numbers);
            int_lanes wide = int_lanes{} + of_.code[0];
            for (std::size_t b = 0; b < N; ++b)
                wide += (numbers > of_.bounds[b]) & (of_.code[b + 1] - of_.code[b]);
            auto const narrow = __builtin_convertvector(wide, byte_lanes);
            std::memcpy(codes, &narrow, sizeof narrow);
        }

      private:
        few_intervals const& of_;
    };
#endif
};

/// Bounds only: the codes count how many of them are below a number.
template <std::size_t N>
constexpr few_intervals<N> counting(std::array<float, N> const& bounds) {
    few_intervals<N> result{bounds, {}};
    for (std::size_t i = 0; i <= N; ++i) result.code[i] = static_cast<std::int32_t>(i);
    return result;
}

template <codebook Codebook>
    requires(Codebook::bits == 4)
inline constexpr auto intervals = [] {
    few_intervals<15> result{midpoints<Codebook>, {}};
    for (std::size_t i = 0; i < 16; ++i) result.code[i] = order<Codebook>[i];
    return result;
}();

/// For each number how many of 255 ascending bounds are below it. A number on a bound counts that as not below.
inline void count_below(std::array<float, 255> const& bounds, float const* y, index_t count,
                        std::uint8_t* ranks) {
    for (index_t i = 0; i < count; ++i) {
        std::uint32_t rank = 0;
        for (std::uint32_t step = 128; step > 0; step /= 2)
            rank += step & -static_cast<std::uint32_t>(y[i] > bounds[rank + step - 1]);
        ranks[i] = static_cast<std::uint8_t>(rank);
    }
}

/// 255 constant bounds between -1 and 1, found by the leading bits of a number: those tell the rank but for one bound.
template <codebook Codebook>
struct leading_bits {
    static constexpr std::int32_t dropped = 17;  ///< of the 23 bits of the mantissa
    static constexpr std::int32_t lowest = (127 - 22)
                                           << (23 - dropped);  ///< smaller magnitudes share one place
    static constexpr std::int32_t places = (127 << (23 - dropped)) - lowest + 1;

    /// The place of a number's magnitude; the negative ones come after the others.
    static constexpr std::int32_t place_of(float y) {
        auto const bits = std::bit_cast<std::int32_t>(y);
        auto const leading = ((bits & 0x7FFFFFFF) >> dropped) - lowest;
        return (leading > 0 ? leading : 0) + (bits < 0 ? places : 0);
    }

    /// Bounds below every number of a place, but for the one that may lie inside.
    static constexpr auto ranks = [] {
        std::array<std::int32_t, 2 * places> result{};
        std::array<std::int32_t, 2 * places> inside{};
        auto const& bounds = midpoints<Codebook>;
        for (float const bound : bounds) ++inside[static_cast<std::size_t>(place_of(bound))];
        std::int32_t rank = 0;
        for (auto p = 2 * places - 1; p >= places; --p) {
            result[static_cast<std::size_t>(p)] = rank;
            rank += inside[static_cast<std::size_t>(p)];
        }
        for (auto p = 0; p < places; ++p) {
            result[static_cast<std::size_t>(p)] = rank;
            rank += inside[static_cast<std::size_t>(p)];
        }
        return result;
    }();
    /// Whether no place holds more than one bound.
    static constexpr bool suffice = [] {
        std::array<std::int32_t, 2 * places> inside{};
        for (float const bound : midpoints<Codebook>)
            if (++inside[static_cast<std::size_t>(place_of(bound))] > 1) return false;
        return true;
    }();
    /// The bounds, and one that no number exceeds.
    static constexpr auto bounds = [] {
        std::array<float, 256> result{};
        std::copy(midpoints<Codebook>.begin(), midpoints<Codebook>.end(), result.begin());
        result[255] = 2;
        return result;
    }();
};

/// The code whose number is nearest, decided by the fp32 midpoints; a number on one goes to the lower neighbour. All
/// numbers lie between -1 and 1.
template <codebook Codebook>
inline void nearest_by_midpoint(float const* y, index_t count, std::uint8_t* codes) {
    if constexpr (Codebook::bits == 4) {
        intervals<Codebook>.codes_of(y, count, codes);
        return;
    } else if constexpr (leading_bits<Codebook>::suffice) {
        for (index_t i = 0; i < count; ++i) {
            auto const rank = leading_bits<Codebook>::ranks[static_cast<std::size_t>(
                leading_bits<Codebook>::place_of(y[i]))];
            codes[i] = static_cast<std::uint8_t>(
                rank + (y[i] > leading_bits<Codebook>::bounds[static_cast<std::size_t>(rank)]));
        }
    } else {
        count_below(midpoints<Codebook>, y, count, codes);
    }
    if constexpr (!is_ascending<Codebook>)
        for (index_t i = 0; i < count; ++i) codes[i] = order<Codebook>[codes[i]];
}

/// The code whose number is nearest, decided by the rounded fp32 differences; of equal ones the lowest code.
template <codebook Codebook>
inline void nearest_by_difference(float const* y, index_t count, std::uint8_t* codes) {
    for (index_t at = 0; at < count; at += strip) {
        index_t const here = std::min(strip, count - at);
        float least[strip];
        std::int32_t code[strip] = {};
        for (index_t i = 0; i < here; ++i) least[i] = std::fabs(y[at + i] - Codebook::values[0]);
        for (std::int32_t c = 1; c < 1 << Codebook::bits; ++c)
            for (index_t i = 0; i < here; ++i) {
                float const difference = std::fabs(y[at + i] - Codebook::values[static_cast<std::size_t>(c)]);
                code[i] = difference < least[i] ? c : code[i];
                least[i] = difference < least[i] ? difference : least[i];
            }
        for (index_t i = 0; i < here; ++i) codes[at + i] = static_cast<std::uint8_t>(code[i]);
    }
}

/// Keeps the compiler from fusing the product x with the addition that follows it, which would round once, not twice.
inline float rounded(float x) {
    asm("" : "+m"(x));
    return x;
}

}  // namespace snug::SNUG_TARGET::quantization::detail
