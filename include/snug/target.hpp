// SPDX-License-Identifier: Apache-2.0
#pragma once

/// \file
/// `SNUG_TARGET`: the namespace, inline, that snug's code is in; another one for every set of instructions that a file may be
/// compiled for, such as `x86_v3` for `-march=x86-64-v3`. Of two functions of one name the linker keeps either. So in files
/// compiled for different processors they have different names, and the files can be linked to one program. Programs do not write it.
///
/// Its name is the highest of the psABI's levels (https://gitlab.com/x86-psABIs/x86-64-ABI, "Micro-architecture levels") that is
/// there whole, and a letter for each extension beyond it that compilers use of their own accord, or snug through intrinsics.
/// No code of snug's has the others (AES, SHA, RDRAND, AMX, ...): they make no name.
///
/// Outside of it are the axes, the numbers of a model and its batch: constants without a function, and most of the words of a
/// compiler's message.

#if !defined(__x86_64__)
#define SNUG_TARGET other
#else

// A compiler defines __AVX__ as 1 or not at all. 1 makes COMMA_1, and the letter comes second; else it stays first, behind a name of
// nothing, and the second is empty.
#define SNUG_TARGET_COMMA_1 ,
#define SNUG_TARGET_SECOND(first, second, ...) second
#define SNUG_TARGET_CHOSEN(...) SNUG_TARGET_SECOND(__VA_ARGS__)
#define SNUG_TARGET_PASTED(value, letter) SNUG_TARGET_CHOSEN(SNUG_TARGET_COMMA_##value letter, , )
#define SNUG_TARGET_IF(extension, letter) SNUG_TARGET_PASTED(extension, letter)
#define SNUG_TARGET_JOINED(a, b, c, d, e, f, g, h, ...) a##b##c##d##e##f##g##h
#define SNUG_TARGET_JOIN(...) SNUG_TARGET_JOINED(__VA_ARGS__, , , , , , , , )

// The psABI's levels: whole, or a letter for each part of one that is there.
#if defined(__SSE3__) && defined(__SSSE3__) && defined(__SSE4_1__) && defined(__SSE4_2__) && \
    defined(__POPCNT__)
#define SNUG_TARGET_HAS_V2
#define SNUG_TARGET_PARTS_OF_V2
#else
#define SNUG_TARGET_PARTS_OF_V2                                                    \
    SNUG_TARGET_JOIN(SNUG_TARGET_IF(__SSE3__, A), SNUG_TARGET_IF(__SSSE3__, B),    \
                     SNUG_TARGET_IF(__SSE4_1__, C), SNUG_TARGET_IF(__SSE4_2__, D), \
                     SNUG_TARGET_IF(__POPCNT__, E))
#endif
#if defined(SNUG_TARGET_HAS_V2) && defined(__AVX__) && defined(__AVX2__) && defined(__BMI__) && \
    defined(__BMI2__) && defined(__F16C__) && defined(__FMA__) && defined(__LZCNT__) && defined(__MOVBE__)
#define SNUG_TARGET_HAS_V3
#define SNUG_TARGET_PARTS_OF_V3
#else
#define SNUG_TARGET_PARTS_OF_V3                                                                            \
    SNUG_TARGET_JOIN(SNUG_TARGET_IF(__AVX__, F), SNUG_TARGET_IF(__AVX2__, G), SNUG_TARGET_IF(__BMI__, H),  \
                     SNUG_TARGET_IF(__BMI2__, I), SNUG_TARGET_IF(__F16C__, J), SNUG_TARGET_IF(__FMA__, K), \
                     SNUG_TARGET_IF(__LZCNT__, L), SNUG_TARGET_IF(__MOVBE__, M))
#endif
#if defined(SNUG_TARGET_HAS_V3) && defined(__AVX512F__) && defined(__AVX512BW__) && defined(__AVX512CD__) && \
    defined(__AVX512DQ__) && defined(__AVX512VL__)
#define SNUG_TARGET_HAS_V4
#define SNUG_TARGET_PARTS_OF_V4
#else
#define SNUG_TARGET_PARTS_OF_V4                                                        \
    SNUG_TARGET_JOIN(SNUG_TARGET_IF(__AVX512F__, N), SNUG_TARGET_IF(__AVX512BW__, O),  \
                     SNUG_TARGET_IF(__AVX512CD__, P), SNUG_TARGET_IF(__AVX512DQ__, Q), \
                     SNUG_TARGET_IF(__AVX512VL__, R))
#endif
#if defined(SNUG_TARGET_HAS_V4)
#define SNUG_TARGET_LEVEL x86_v4
#elif defined(SNUG_TARGET_HAS_V3)
#define SNUG_TARGET_LEVEL x86_v3
#elif defined(SNUG_TARGET_HAS_V2)
#define SNUG_TARGET_LEVEL x86_v2
#else
#define SNUG_TARGET_LEVEL x86_v1
#endif

// What Ice Lake, Sapphire Rapids and Zen 4 have beyond the last level is one letter where it is whole.
#if defined(__AVX512IFMA__) && defined(__AVX512VBMI__) && defined(__AVX512VBMI2__) &&       \
    defined(__AVX512VNNI__) && defined(__AVX512BITALG__) && defined(__AVX512VPOPCNTDQ__) && \
    defined(__GFNI__) && defined(__PCLMUL__)
#define SNUG_TARGET_ICE_LAKE i
#else
#define SNUG_TARGET_ICE_LAKE                                                                      \
    SNUG_TARGET_JOIN(SNUG_TARGET_IF(__AVX512IFMA__, a), SNUG_TARGET_IF(__AVX512VBMI__, c),        \
                     SNUG_TARGET_IF(__AVX512VBMI2__, d), SNUG_TARGET_IF(__AVX512VNNI__, e),       \
                     SNUG_TARGET_IF(__AVX512BITALG__, f), SNUG_TARGET_IF(__AVX512VPOPCNTDQ__, g), \
                     SNUG_TARGET_IF(__GFNI__, j), SNUG_TARGET_IF(__PCLMUL__, k))
#endif
#define SNUG_TARGET_NEWER                                                                  \
    SNUG_TARGET_JOIN(SNUG_TARGET_IF(__AVX512BF16__, b), SNUG_TARGET_IF(__AVX512FP16__, h), \
                     SNUG_TARGET_IF(__AVXVNNI__, l), SNUG_TARGET_IF(__AVXVNNIINT8__, m),   \
                     SNUG_TARGET_IF(__AVXVNNIINT16__, n), SNUG_TARGET_IF(__AVXIFMA__, o),  \
                     SNUG_TARGET_IF(__AVXNECONVERT__, p), SNUG_TARGET_IF(__CMPCCXADD__, q))
#define SNUG_TARGET_OTHERS                                                           \
    SNUG_TARGET_JOIN(SNUG_TARGET_IF(__AVX10_1__, r), SNUG_TARGET_IF(__AVX10_2__, s), \
                     SNUG_TARGET_IF(__APX_F__, t), SNUG_TARGET_IF(__SSE4A__, u),     \
                     SNUG_TARGET_IF(__FMA4__, v), SNUG_TARGET_IF(__XOP__, w), SNUG_TARGET_IF(__TBM__, x))

#define SNUG_TARGET                                                                              \
    inline SNUG_TARGET_JOIN(SNUG_TARGET_LEVEL, SNUG_TARGET_PARTS_OF_V2, SNUG_TARGET_PARTS_OF_V3, \
                            SNUG_TARGET_PARTS_OF_V4, SNUG_TARGET_ICE_LAKE, SNUG_TARGET_NEWER,    \
                            SNUG_TARGET_OTHERS)

#endif
