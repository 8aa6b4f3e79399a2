// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <snug/meta.hpp>
#include <snug/precision/bf16.hpp>

#if defined(__AVX2__) || defined(__AVX512F__)
#include <immintrin.h>
#endif

/// From codes to numbers: the inner loops of every decoder. All of them give the same bits with and without the
/// processor's wide instructions.
namespace snug::quantization::detail {

template <class T>
concept decoded = std::same_as<T, float> || std::same_as<T, bf16>;

#if defined(__AVX512F__) && defined(__AVX512BW__)

/// 16 numbers in a register that 16 codes choose from in one instruction. The masks keep every lane: GCC 12 takes the
/// plain forms for a use of something uninitialized (its bug 105593).
class table16 {
  public:
    explicit table16(float const* values, float scale)
        : values_(_mm512_mul_ps(_mm512_loadu_ps(values), _mm512_set1_ps(scale))) {}

    /// The numbers of 16 codes, one in a byte.
    void write(__m128i codes, float* out) const { _mm512_storeu_ps(out, chosen(codes)); }
    void write(__m128i codes, bf16* out) const {
        auto const bits = _mm512_castps_si512(chosen(codes));
        auto const odd = _mm512_and_si512(_mm512_maskz_srli_epi32(every, bits, 16), _mm512_set1_epi32(1));
        auto const rounded = _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7FFF)));
        _mm256_storeu_si256(
            reinterpret_cast<__m256i*>(out),
            _mm512_maskz_cvtepi32_epi16(every, _mm512_maskz_srli_epi32(every, rounded, 16)));
    }

  private:
    static constexpr __mmask16 every = 0xFFFF;

    __m512 chosen(__m128i codes) const {
        return _mm512_maskz_permutexvar_ps(every, _mm512_maskz_cvtepu8_epi32(every, codes), values_);
    }

    __m512 values_;
};

#elif defined(__AVX2__)

class table16 {
  public:
    explicit table16(float const* values, float scale)
        : low_(_mm256_mul_ps(_mm256_loadu_ps(values), _mm256_set1_ps(scale))),
          high_(_mm256_mul_ps(_mm256_loadu_ps(values + 8), _mm256_set1_ps(scale))) {}

    void write(__m128i codes, float* out) const {
        _mm256_storeu_ps(out, eight(codes));
        _mm256_storeu_ps(out + 8, eight(_mm_srli_si128(codes, 8)));
    }
    void write(__m128i codes, bf16* out) const {
        auto const both = _mm256_packus_epi32(rounded(eight(codes)), rounded(eight(_mm_srli_si128(codes, 8))));
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(out), _mm256_permute4x64_epi64(both, 0xD8));
    }

  private:
    __m256 eight(__m128i codes) const {
        auto const wide = _mm256_cvtepu8_epi32(codes);
        // The bit of value 8 moves to the sign, which chooses.
        auto const is_high = _mm256_castsi256_ps(_mm256_slli_epi32(wide, 28));
        return _mm256_blendv_ps(_mm256_permutevar8x32_ps(low_, wide), _mm256_permutevar8x32_ps(high_, wide), is_high);
    }
    static __m256i rounded(__m256 numbers) {
        auto const bits = _mm256_castps_si256(numbers);
        auto const odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
        return _mm256_srli_epi32(_mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7FFF))), 16);
    }

    __m256 low_;
    __m256 high_;
};

#endif

/// Two 4-bit codes share a byte, the one of the even element in its high half.
constexpr int code4(std::uint8_t const* codes, index i) {
    return (i & 1) == 0 ? codes[i / 2] >> 4 : codes[i / 2] & 0xF;
}

/// table[code] * scale for elements [first, first + count).
template <decoded T>
inline void expand4(std::uint8_t const* codes, index first, index count, float const* table, float scale, T* out) {
    index i = 0;
    if ((first & 1) != 0 && count > 0) out[i++] = T(table[code4(codes, first)] * scale);
#if defined(__AVX2__) || (defined(__AVX512F__) && defined(__AVX512BW__))
    if (count - i >= 16) {
        table16 const scaled(table, scale);
        auto const low_half = _mm_set1_epi8(0xF);
        std::uint8_t const* from = codes + (first + i) / 2;
        for (; count - i >= 32; i += 32, from += 16) {
            auto const pairs = _mm_loadu_si128(reinterpret_cast<__m128i const*>(from));
            auto const even = _mm_and_si128(_mm_srli_epi16(pairs, 4), low_half);
            auto const odd = _mm_and_si128(pairs, low_half);
            scaled.write(_mm_unpacklo_epi8(even, odd), out + i);
            scaled.write(_mm_unpackhi_epi8(even, odd), out + i + 16);
        }
        if (count - i >= 16) {
            auto const pairs = _mm_loadl_epi64(reinterpret_cast<__m128i const*>(from));
            auto const even = _mm_and_si128(_mm_srli_epi16(pairs, 4), low_half);
            scaled.write(_mm_unpacklo_epi8(even, _mm_and_si128(pairs, low_half)), out + i);
            i += 16;
        }
    }
#endif
    for (; i < count; ++i) out[i] = T(table[code4(codes, first + i)] * scale);
}

/// The same for codes of 8 bits.
template <decoded T>
inline void expand8(std::uint8_t const* codes, index first, index count, float const* table, float scale, T* out) {
    std::uint8_t const* const from = codes + first;
    for (index i = 0; i < count; ++i) out[i] = T(table[from[i]] * scale);
}

/// (code - zero) * scale for codes of 8 bits.
template <decoded T>
inline void expand8_linear(std::uint8_t const* codes, index first, index count, int zero, float scale, T* out) {
    std::uint8_t const* const from = codes + first;
    for (index i = 0; i < count; ++i) out[i] = T(static_cast<float>(from[i] - zero) * scale);
}

/// Codes one in a byte, packed into `Bits` each from element `first` on. For 4 bits `first` is even, and the half byte
/// that an odd `count` leaves becomes `padding`.
template <int Bits>
inline void pack(std::uint8_t const* ranks, index first, index count, int padding, std::uint8_t* codes) {
    if constexpr (Bits == 8) {
        if (count > 0) std::memcpy(codes + first, ranks, static_cast<std::size_t>(count));
    } else {
        std::uint8_t* const to = codes + first / 2;
        for (index i = 0; i < count / 2; ++i)
            to[i] = static_cast<std::uint8_t>(ranks[2 * i] << 4 | ranks[2 * i + 1]);
        if ((count & 1) != 0) to[count / 2] = static_cast<std::uint8_t>(ranks[count - 1] << 4 | padding);
    }
}

template <int Bits>
inline void unpack(std::uint8_t const* codes, index first, index count, std::uint8_t* out) {
    for (index i = 0; i < count; ++i) {
        if constexpr (Bits == 8) out[i] = codes[first + i];
        else out[i] = static_cast<std::uint8_t>(code4(codes, first + i));
    }
}

}  // namespace snug::quantization::detail
