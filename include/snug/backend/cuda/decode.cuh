// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>
#include <snug/meta.hpp>
#include <snug/quantization/blocked.hpp>
#include <snug/quantization/outlier_split.hpp>
#include <snug/quantization/quantile.hpp>
#include <snug/quantization/whole.hpp>
#include <type_traits>

/// Numbers of a quantized matrix on the device, with the bits that `Scheme::decode` gives on the host. A scheme of a user's
/// own has to offer `static constexpr float value(view const&, index_t)`.
///
/// Device code must not touch the codebooks' own arrays: they are the host's, and a kernel that reads one compiles to a trap.
namespace snug::SNUG_TARGET::backend::cuda {

/// The numbers of a codebook where kernels can read them.
template <class Codebook>
__device__ constexpr auto device_values = Codebook::values;

/// x * y and x + y, each rounded once: never fused.
__device__ __forceinline__ float rounded_product(float x, float y) {
#if defined(SNUG_CUDA_EMULATION)
    return quantization::detail::rounded(x * y);
#else
    return __fmul_rn(x, y);
#endif
}
__device__ __forceinline__ float rounded_sum(float x, float y) {
#if defined(SNUG_CUDA_EMULATION)
    return x + y;
#else
    return __fadd_rn(x, y);
#endif
}

namespace detail {

// Scales of blocks.
__device__ __forceinline__ float second_of(quantization::scales::by_dynamic_map, std::uint8_t code,
                                           float second) {
    return rounded_product(device_values<quantization::codebooks::dynamic_signed>[code], second);
}
__device__ __forceinline__ float second_of(quantization::scales::by_even_steps, std::uint8_t code,
                                           float second) {
    auto const steps = static_cast<float>(static_cast<std::int8_t>(code));
#if defined(SNUG_CUDA_EMULATION)
    return steps / second;
#else
    return __fdiv_rn(steps, second);
#endif
}
template <class Scales>
struct scales_of;
template <>
struct scales_of<quantization::scales::plain> {
    __device__ static float at(quantization::scales::plain::view const& scales, index_t block) {
        return scales.values[block];
    }
};
template <class Method, index_t Group>
struct scales_of<quantization::scales::nested<Method, Group>> {
    __device__ static float at(typename quantization::scales::nested<Method, Group>::view const& scales,
                               index_t block) {
        return rounded_sum(second_of(Method{}, scales.codes[block], scales.seconds[block / Group]),
                           *scales.mean);
    }
};

/// What a code means, given the parameters of its block. `table_size` numbers have to be in `table`, 0 for none.
template <class Code>
struct meaning;
template <class Codebook, class Dialect>
struct meaning<quantization::table_code<Codebook, Dialect>> {
    static constexpr int table_size = 1 << Codebook::bits;
    __device__ static float const* numbers() { return device_values<Codebook>.data(); }
    __device__ static float of(int code, float scale, int, float const* table) {
        return rounded_product(table[code], scale);
    }
};
template <int Bits>
struct meaning<quantization::symmetric_code<Bits>> {
    static constexpr int table_size = 0;
    __device__ static float const* numbers() { return nullptr; }
    __device__ static float of(int code, float scale, int, float const*) {
        return rounded_product(static_cast<float>(code - (1 << (Bits - 1))), scale);
    }
};
template <int Bits>
struct meaning<quantization::affine_code<Bits>> {
    static constexpr int table_size = 0;
    __device__ static float const* numbers() { return nullptr; }
    __device__ static float of(int code, float scale, int zero, float const*) {
        return rounded_product(static_cast<float>(code - zero), scale);
    }
};
template <class Format, int Bits>
struct meaning<quantization::range_code<Format, Bits>> {
    static constexpr int table_size = 0;
    __device__ static float const* numbers() { return nullptr; }
    __device__ static float of(int code, float, int, float const*) {
        constexpr float step = quantization::range_code<Format, Bits>::step;
        return rounded_product(static_cast<float>(code - (1 << (Bits - 1))), step);
    }
};

template <class Scheme>
concept of_blocks = requires {
    typename Scheme::code;
    typename Scheme::scale_storage;
    Scheme::block;
};
template <class Scheme>
concept of_one_scale = requires {
    typename Scheme::code;
}
&&!of_blocks<Scheme> && std::is_base_of_v<quantization::whole<typename Scheme::code>, Scheme>;
template <class Scheme>
inline constexpr int quantile_bits =
    std::is_base_of_v<quantization::detail::quantile_scheme<8>, Scheme>   ? 8
    : std::is_base_of_v<quantization::detail::quantile_scheme<4>, Scheme> ? 4
                                                                          : 0;
template <class Scheme>
concept of_quantiles = (quantile_bits<Scheme> > 0);

template <int Bits>
__device__ __forceinline__ int code_at(std::uint8_t const* codes, index_t i) {
    if constexpr (Bits == 8) return codes[i];
    else return (i & 1) == 0 ? codes[i / 2] >> 4 : codes[i / 2] & 0xF;
}

/// Codes of `Count` elements (8 or 16) that follow each other, the first one a multiple of `Count`.
template <int Bits, int Count>
struct some_codes {
    static constexpr int size = Bits * Count / 32;
    std::uint32_t words[size];

    __device__ __forceinline__ void read(std::uint8_t const* codes, index_t first) {
        auto const* const from = codes + first * Bits / 8;
        if constexpr (size == 1) {
            words[0] = *reinterpret_cast<std::uint32_t const*>(from);
        } else if constexpr (size == 2) {
            auto const w = *reinterpret_cast<uint2 const*>(from);
            words[0] = w.x, words[1] = w.y;
        } else {
            auto const w = *reinterpret_cast<uint4 const*>(from);
            words[0] = w.x, words[1] = w.y, words[2] = w.z, words[3] = w.w;
        }
    }
    __device__ __forceinline__ int operator[](int i) const {
        // Of two elements in a byte the even one is in the high half.
        if constexpr (Bits == 4)
            return static_cast<int>(words[i / 8] >> (8 * (i % 8 / 2) + 4 - 4 * (i % 2)) & 0xF);
        else return static_cast<int>(words[i / 4] >> (8 * (i % 4)) & 0xFF);
    }
};

}  // namespace detail

/// How a kernel reads what `Scheme` stores: one number at a time by `value`, or `at_once` (8 or 16) of them, in two steps, so that the
/// reading comes long before the arithmetic: `read` then `number`. `table` is a copy of the `table_size` floats at `numbers`,
/// or those themselves; where `at_once` is 0 there is only `value`.
template <class Scheme>
struct decoder {
    static constexpr int table_size = 0;
    static constexpr int at_once = 0;
    using view = typename Scheme::view;

    __device__ static float const* numbers(view const&) { return nullptr; }
    __device__ static float value(view const& stored, index_t i, float const*) {
        static_assert(
            requires { Scheme::value(stored, i); },
            "snug: on CUDA a quantization scheme of one's own needs static constexpr float value(view "
            "const&, "
            "index_t), one number of the matrix (see Scheme)");
        return Scheme::value(stored, i);
    }
};

template <detail::of_blocks Scheme>
struct decoder<Scheme> {
    using code = typename Scheme::code;
    using meaning = detail::meaning<code>;
    using view = typename Scheme::view;
    static constexpr int table_size = meaning::table_size;
    static constexpr int at_once = Scheme::block % 16 == 0 ? 16 : Scheme::block % 8 == 0 ? 8 : 0;

    template <int Count>
    struct some {
        detail::some_codes<code::bits, Count> codes;
        float scale;
        int zero;
    };

    __device__ static float const* numbers(view const&) { return meaning::numbers(); }
    __device__ static float scale(view const& stored, index_t block) {
        return detail::scales_of<typename Scheme::scale_storage>::at(stored.scales, block);
    }
    __device__ static int zero(view const& stored, index_t block) {
        if constexpr (code::has_zero) return stored.zeros[block];
        else return 0;
    }
    __device__ static float value(view const& stored, index_t i, float const* table) {
        auto const block = i / Scheme::block;
        return meaning::of(detail::code_at<code::bits>(stored.codes, i), scale(stored, block),
                           zero(stored, block), table);
    }
    template <int Count>
    __device__ static void read(some<Count>& e, view const& stored, index_t first) {
        auto const block = first / Scheme::block;
        e.codes.read(stored.codes, first);
        e.scale = scale(stored, block);
        e.zero = zero(stored, block);
    }
    template <int Count>
    __device__ static float number(some<Count> const& e, int i, float const* table) {
        return meaning::of(e.codes[i], e.scale, e.zero, table);
    }
};

template <detail::of_one_scale Scheme>
struct decoder<Scheme> {
    using code = typename Scheme::code;
    using meaning = detail::meaning<code>;
    using view = typename Scheme::view;
    static constexpr int table_size = meaning::table_size;
    static constexpr int at_once = 16;

    template <int Count>
    struct some {
        detail::some_codes<code::bits, Count> codes;
        float scale;
        int zero;
    };

    __device__ static float const* numbers(view const&) { return meaning::numbers(); }
    __device__ static float value(view const& stored, index_t i, float const* table) {
        return meaning::of(detail::code_at<code::bits>(stored.codes, i), stored.parameters->scale,
                           stored.parameters->zero, table);
    }
    template <int Count>
    __device__ static void read(some<Count>& e, view const& stored, index_t first) {
        e.codes.read(stored.codes, first);
        e.scale = stored.parameters->scale;
        e.zero = stored.parameters->zero;
    }
    template <int Count>
    __device__ static float number(some<Count> const& e, int i, float const* table) {
        return meaning::of(e.codes[i], e.scale, e.zero, table);
    }
};

template <detail::of_quantiles Scheme>
struct decoder<Scheme> {
    static constexpr int bits = detail::quantile_bits<Scheme>;
    using view = typename Scheme::view;
    static constexpr int table_size = 1 << bits;
    static constexpr int at_once = 16;

    template <int Count>
    struct some {
        detail::some_codes<bits, Count> codes;
    };

    __device__ static float const* numbers(view const& stored) { return stored.values; }
    __device__ static float value(view const& stored, index_t i, float const* table) {
        return table[detail::code_at<bits>(stored.codes, i)];
    }
    template <int Count>
    __device__ static void read(some<Count>& e, view const& stored, index_t first) {
        e.codes.read(stored.codes, first);
    }
    template <int Count>
    __device__ static float number(some<Count> const& e, int i, float const* table) {
        return table[e.codes[i]];
    }
};

template <class Threshold, class Scheme, class Columns, class Kept>
struct decoder<quantization::outlier_split<Threshold, Scheme, Columns, Kept>> {
    using rest = decoder<Scheme>;
    using view = typename quantization::outlier_split<Threshold, Scheme, Columns, Kept>::view;
    static constexpr int table_size = rest::table_size;
    static constexpr int at_once = 0;

    __device__ static float const* numbers(view const& stored) { return rest::numbers(stored.rest); }
    __device__ static float value(view const& stored, index_t i, float const* table) {
        auto const row = i / stored.row_length;
        auto const column = static_cast<std::uint32_t>(i - row * stored.row_length);
        auto const used = static_cast<int>(stored.columns[0]);
        for (int k = 0; k < used; ++k)
            if (stored.columns[1 + k] == column)
                return static_cast<float>(stored.kept[row * Columns::count + k]);
        return rest::value(stored.rest, i, table);
    }
};

/// One number of a quantized matrix, for kernels that do not read many.
template <class Scheme>
__device__ float stored_value(typename Scheme::view const& stored, index_t i) {
    using from = decoder<Scheme>;
    return from::value(stored, i, from::numbers(stored));
}

}  // namespace snug::SNUG_TARGET::backend::cuda
