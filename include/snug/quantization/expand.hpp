// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <snug/meta.hpp>
#include <snug/precision/bf16.hpp>

#if defined(__AVX2__)
#include <immintrin.h>
#endif

/// From codes to numbers: the inner loops of every decoder. All of them give the same bits with and without the
/// processor's wide instructions.
namespace snug::SNUG_TARGET::quantization::detail {

template <class T>
concept decoded = std::same_as<T, float> || std::same_as<T, bf16>;

/// 16 numbers in registers that 32 codes at a time choose from: `even` holds the codes of elements 0, 2, ..., 30, one
/// in a byte, `odd` those between them.
#if defined(__AVX512F__) && defined(__AVX512BW__) && defined(__AVX512VL__)

// The masks keep every lane: GCC 12 takes the plain forms for a use of something uninitialized (its bug 105593).

template <decoded T>
class table16;

template <>
class table16<float> {
  public:
    table16(float const* values, float scale)
        : values_(_mm512_mul_ps(_mm512_loadu_ps(values), _mm512_set1_ps(scale))) {}

    void write(__m128i even, __m128i odd, float* out) const {
        _mm512_storeu_ps(out, chosen(_mm_unpacklo_epi8(even, odd)));
        _mm512_storeu_ps(out + 16, chosen(_mm_unpackhi_epi8(even, odd)));
    }

  private:
    __m512 chosen(__m128i codes) const {
        constexpr __mmask16 every = 0xFFFF;
        return _mm512_maskz_permutexvar_ps(every, _mm512_maskz_cvtepu8_epi32(every, codes), values_);
    }

    __m512 values_;
};

template <>
class table16<bf16> {
  public:
    table16(float const* values, float scale) {
        constexpr __mmask16 every = 0xFFFF;
        auto const bits = _mm512_castps_si512(_mm512_mul_ps(_mm512_loadu_ps(values), _mm512_set1_ps(scale)));
        auto const odd = _mm512_and_si512(_mm512_maskz_srli_epi32(every, bits, 16), _mm512_set1_epi32(1));
        auto const rounded = _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7FFF)));
        auto const sixteen = _mm512_maskz_cvtepi32_epi16(every, _mm512_maskz_srli_epi32(every, rounded, 16));
        values_ = _mm512_maskz_broadcast_i64x4(0xFF, sixteen);
    }

    void write(__m128i even, __m128i odd, bf16* out) const {
        constexpr __mmask32 every = 0xFFFFFFFF;
        auto const codes = _mm256_set_m128i(_mm_unpackhi_epi8(even, odd), _mm_unpacklo_epi8(even, odd));
        auto const chosen =
            _mm512_maskz_permutexvar_epi16(every, _mm512_maskz_cvtepu8_epi16(every, codes), values_);
        _mm512_storeu_si512(out, chosen);
    }

  private:
    __m512i values_;
};

#elif defined(__AVX2__)

template <decoded T>
class table16 {
  public:
    table16(float const* values, float scale)
        : low_(_mm256_mul_ps(_mm256_loadu_ps(values), _mm256_set1_ps(scale))),
          high_(_mm256_mul_ps(_mm256_loadu_ps(values + 8), _mm256_set1_ps(scale))) {}

    void write(__m128i even, __m128i odd, T* out) const {
        write(_mm_unpacklo_epi8(even, odd), out);
        write(_mm_unpackhi_epi8(even, odd), out + 16);
    }

  private:
    void write(__m128i codes, float* out) const {
        _mm256_storeu_ps(out, eight(codes));
        _mm256_storeu_ps(out + 8, eight(_mm_srli_si128(codes, 8)));
    }
    void write(__m128i codes, bf16* out) const {
        auto const both =
            _mm256_packus_epi32(rounded(eight(codes)), rounded(eight(_mm_srli_si128(codes, 8))));
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(out), _mm256_permute4x64_epi64(both, 0xD8));
    }

    __m256 eight(__m128i codes) const {
        auto const wide = _mm256_cvtepu8_epi32(codes);
        // The bit of value 8 moves to the sign, which chooses.
        auto const is_high = _mm256_castsi256_ps(_mm256_slli_epi32(wide, 28));
        return _mm256_blendv_ps(_mm256_permutevar8x32_ps(low_, wide), _mm256_permutevar8x32_ps(high_, wide),
                                is_high);
    }
    static __m256i rounded(__m256 numbers) {
        auto const bits = _mm256_castps_si256(numbers);
        auto const odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
        return _mm256_srli_epi32(_mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7FFF))),
                                 16);
    }

    __m256 low_;
    __m256 high_;
};

#endif

/// Two 4-bit codes share a byte, the one of the even element in its high half.
constexpr int code4(std::uint8_t const* codes, index_t i) {
    return (i & 1) == 0 ? codes[i / 2] >> 4 : codes[i / 2] & 0xF;
}

/// table[code] * scale for elements [first, first + count).
template <decoded T>
inline void expand4(std::uint8_t const* codes, index_t first, index_t count, float const* table, float scale,
                    T* out) {
    index_t i = 0;
    if ((first & 1) != 0 && count > 0) out[i++] = T(table[code4(codes, first)] * scale);
#if defined(__AVX2__)
    if (count - i >= 32) {
        table16<T> const scaled(table, scale);
        auto const low_half = _mm_set1_epi8(0xF);
        for (; count - i >= 32; i += 32) {
            auto const pairs = _mm_loadu_si128(reinterpret_cast<__m128i const*>(codes + (first + i) / 2));
            scaled.write(_mm_and_si128(_mm_srli_epi16(pairs, 4), low_half), _mm_and_si128(pairs, low_half),
                         out + i);
        }
    }
#endif
    for (; i < count; ++i) out[i] = T(table[code4(codes, first + i)] * scale);
}

/// The same for codes of 8 bits.
template <decoded T>
inline void expand8(std::uint8_t const* codes, index_t first, index_t count, float const* table, float scale,
                    T* out) {
    std::uint8_t const* const from = codes + first;
    for (index_t i = 0; i < count; ++i) out[i] = T(table[from[i]] * scale);
}

#if defined(__AVX512VBMI__) && defined(__AVX512BW__)

/// A table of 256 floats as four tables of bytes, the lowest first, which byte permutations look 64 codes up in.
struct byte_planes {
    alignas(64) std::array<std::array<std::uint8_t, 256>, 4> bytes;

    explicit constexpr byte_planes(std::array<float, 256> const& values) : bytes{} {
        for (std::size_t i = 0; i < 256; ++i)
            for (std::size_t plane = 0; plane < 4; ++plane)
                bytes[plane][i] =
                    static_cast<std::uint8_t>(std::bit_cast<std::uint32_t>(values[i]) >> (8 * plane));
    }

    template <std::size_t Plane>
    __m512i look_up(__m512i codes) const {
        auto const* const part = bytes[Plane].data();
        auto const low =
            _mm512_permutex2var_epi8(_mm512_load_si512(part), codes, _mm512_load_si512(part + 64));
        auto const high =
            _mm512_permutex2var_epi8(_mm512_load_si512(part + 128), codes, _mm512_load_si512(part + 192));
        return _mm512_mask_blend_epi8(_mm512_movepi8_mask(codes), low, high);
    }
};

/// expand8 with a table known to the compiler.
template <auto const& Table, decoded T>
inline void expand8_constant(std::uint8_t const* codes, index_t first, index_t count, float scale, T* out) {
    static constexpr byte_planes planes{Table};
    // Interleaving bytes works within quarters of a register, so element 16 v + 4 q + i has to be in quarter q at
    // 4 v + i for its float to end up in vector v at its place.
    auto const quarters = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    constexpr __mmask64 every = ~__mmask64{0};
    auto const factor = _mm512_set1_ps(scale);
    index_t i = 0;
    for (; i + 64 <= count; i += 64) {
        auto const in_order = _mm512_loadu_si512(codes + first + i);
        auto const c = _mm512_maskz_permutexvar_epi32(0xFFFF, quarters, in_order);
        auto const byte0 = planes.look_up<0>(c), byte1 = planes.look_up<1>(c);
        auto const byte2 = planes.look_up<2>(c), byte3 = planes.look_up<3>(c);
        auto const low_a = _mm512_maskz_unpacklo_epi8(every, byte0, byte1);
        auto const low_b = _mm512_maskz_unpackhi_epi8(every, byte0, byte1);
        auto const high_a = _mm512_maskz_unpacklo_epi8(every, byte2, byte3);
        auto const high_b = _mm512_maskz_unpackhi_epi8(every, byte2, byte3);
        constexpr __mmask32 words = 0xFFFFFFFF;
        __m512i const bits[4] = {_mm512_maskz_unpacklo_epi16(words, low_a, high_a),
                                 _mm512_maskz_unpackhi_epi16(words, low_a, high_a),
                                 _mm512_maskz_unpacklo_epi16(words, low_b, high_b),
                                 _mm512_maskz_unpackhi_epi16(words, low_b, high_b)};
        for (int v = 0; v < 4; ++v) {
            alignas(64) float numbers[16];
            _mm512_store_ps(numbers, _mm512_mul_ps(_mm512_castsi512_ps(bits[v]), factor));
            for (int l = 0; l < 16; ++l) out[i + 16 * v + l] = T(numbers[l]);
        }
    }
    expand8(codes, first + i, count - i, Table.data(), scale, out + i);
}

#else

template <auto const& Table, decoded T>
inline void expand8_constant(std::uint8_t const* codes, index_t first, index_t count, float scale, T* out) {
    expand8(codes, first, count, Table.data(), scale, out);
}

#endif

/// (code - zero) * scale for codes of 8 bits.
template <decoded T>
inline void expand8_linear(std::uint8_t const* codes, index_t first, index_t count, int zero, float scale,
                           T* out) {
    std::uint8_t const* const from = codes + first;
    for (index_t i = 0; i < count; ++i) out[i] = T(static_cast<float>(from[i] - zero) * scale);
}

/// Codes one in a byte, packed into `Bits` each from element `first` on. For 4 bits `first` is even, and the half byte
/// that an odd `count` leaves becomes `padding`.
template <int Bits>
inline void pack(std::uint8_t const* ranks, index_t first, index_t count, int padding, std::uint8_t* codes) {
    if constexpr (Bits == 8) {
        if (count > 0) std::memcpy(codes + first, ranks, static_cast<std::size_t>(count));
    } else {
        std::uint8_t* const to = codes + first / 2;
        for (index_t i = 0; i < count / 2; ++i) {
            // As one load: a loop over pairs of bytes is not vectorised.
            std::uint16_t pair;
            std::memcpy(&pair, ranks + 2 * i, sizeof pair);
            if constexpr (std::endian::native == std::endian::big)
                pair = static_cast<std::uint16_t>(pair << 8 | pair >> 8);
            to[i] = static_cast<std::uint8_t>(pair << 4 | pair >> 8);
        }
        if ((count & 1) != 0) to[count / 2] = static_cast<std::uint8_t>(ranks[count - 1] << 4 | padding);
    }
}

template <int Bits>
inline void unpack(std::uint8_t const* codes, index_t first, index_t count, std::uint8_t* out) {
    for (index_t i = 0; i < count; ++i) {
        if constexpr (Bits == 8) out[i] = codes[first + i];
        else out[i] = static_cast<std::uint8_t>(code4(codes, first + i));
    }
}

}  // namespace snug::SNUG_TARGET::quantization::detail
