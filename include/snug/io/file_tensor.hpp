// SPDX-License-Identifier: Apache-2.0
#pragma once

/// \file
/// A tensor of a weight file, whatever the format of the file: its name, type and shape, and its bytes in the
/// mapped file, decoded to float piece by piece.

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <numeric>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <snug/error.hpp>
#include <snug/io/file.hpp>
#include <snug/io/size.hpp>
#include <snug/meta.hpp>
#include <snug/precision/bf16.hpp>
#include <snug/precision/fp16.hpp>
#include <snug/precision/fp8.hpp>

namespace snug::SNUG_TARGET::io {

static_assert(std::endian::native == std::endian::little, "weight files are little-endian and read in place");

/// How the elements of a tensor lie in a file. Not every type can be decoded; see `decode`.
enum class tensor_type : std::uint8_t {
    // The order in which safetensors numbers its types, and by which its files are sorted.
    boolean,
    f4,
    f6_e2m3,
    f6_e3m2,
    u8,
    i8,
    f8_e5m2,
    f8_e4m3,
    f8_e8m0,
    f8_e4m3fnuz,
    f8_e5m2fnuz,
    i16,
    u16,
    f16,
    bf16,
    i32,
    u32,
    f32,
    c64,
    f64,
    i64,
    u64,
    // The blocks of GGUF.
    q4_0,
    q4_1,
    q5_0,
    q5_1,
    q8_0,
    q2_k,
    q3_k,
    q4_k,
    q5_k,
    q6_k,
    iq2_xxs,
    iq2_xs,
    iq3_xxs,
    iq1_s,
    iq4_nl,
    iq3_s,
    iq2_s,
    iq4_xs,
    iq1_m,
    tq1_0,
    tq2_0,
    mxfp4
};

/// What a tensor type is called, and its smallest unit: `block_bytes` bytes hold `block_length` elements that
/// follow each other in a row.
struct tensor_type_layout {
    std::string_view name;
    index_t block_length;
    index_t block_bytes;
};

/// Name and block of a tensor type.
constexpr tensor_type_layout layout_of(tensor_type type) noexcept {
    constexpr std::array<tensor_type_layout, 44> layouts{{
        {"BOOL", 1, 1},       {"F4", 2, 1},          {"F6_E2M3", 4, 3},     {"F6_E3M2", 4, 3},
        {"U8", 1, 1},         {"I8", 1, 1},          {"F8_E5M2", 1, 1},     {"F8_E4M3", 1, 1},
        {"F8_E8M0", 1, 1},    {"F8_E4M3FNUZ", 1, 1}, {"F8_E5M2FNUZ", 1, 1}, {"I16", 1, 2},
        {"U16", 1, 2},        {"F16", 1, 2},         {"BF16", 1, 2},        {"I32", 1, 4},
        {"U32", 1, 4},        {"F32", 1, 4},         {"C64", 1, 8},         {"F64", 1, 8},
        {"I64", 1, 8},        {"U64", 1, 8},         {"Q4_0", 32, 18},      {"Q4_1", 32, 20},
        {"Q5_0", 32, 22},     {"Q5_1", 32, 24},      {"Q8_0", 32, 34},      {"Q2_K", 256, 84},
        {"Q3_K", 256, 110},   {"Q4_K", 256, 144},    {"Q5_K", 256, 176},    {"Q6_K", 256, 210},
        {"IQ2_XXS", 256, 66}, {"IQ2_XS", 256, 74},   {"IQ3_XXS", 256, 98},  {"IQ1_S", 256, 50},
        {"IQ4_NL", 32, 18},   {"IQ3_S", 256, 110},   {"IQ2_S", 256, 82},    {"IQ4_XS", 256, 136},
        {"IQ1_M", 256, 56},   {"TQ1_0", 256, 54},    {"TQ2_0", 256, 66},    {"MXFP4", 32, 17},
    }};
    static_assert(static_cast<std::size_t>(tensor_type::mxfp4) + 1 == layouts.size());
    return layouts[static_cast<std::size_t>(type)];
}

/// The name as weight files and their tools write it, e.g. "BF16" or "Q4_1".
constexpr std::string_view name_of(tensor_type type) noexcept { return layout_of(type).name; }

/// A tensor of a weight file. The bytes belong to the reader that handed it out, and are as many as type and
/// dimensions ask for.
struct file_tensor {
    std::string name;
    tensor_type type{};
    std::vector<index_t> dimensions;  ///< slowest first (C order), also for GGUF, which stores them reversed
    std::span<std::byte const> bytes;
    index_t offset = 0;  ///< of the bytes in the file
    std::string file;    ///< the file they are in, one of several when a model is in shards

    /// Elements in all.
    index_t size() const noexcept {
        auto const layout = layout_of(type);
        return static_cast<index_t>(bytes.size()) / layout.block_bytes * layout.block_length;
    }

    /// Where it is, for messages.
    place where() const { return {file, offset, printable(name)}; }
};

/// "F32 [49152, 576]"; of many dimensions, the first.
inline std::string shape_text(tensor_type type, std::span<index_t const> dimensions) {
    constexpr std::size_t most = 8;
    std::string text(name_of(type));
    text += " [";
    for (std::size_t i = 0; i < std::min(most, dimensions.size()); ++i)
        text += (i ? ", " : "") + std::to_string(dimensions[i]);
    return text + (dimensions.size() > most ? ", ...]" : "]");
}
inline std::string shape_text(file_tensor const& tensor) {
    return shape_text(tensor.type, tensor.dimensions);
}

namespace detail {

/// The type is one that safetensors has.
constexpr bool is_safetensors(tensor_type type) noexcept { return type <= tensor_type::u64; }

/// More tensors than a model has that fits one machine, so that a hostile file costs no more to open.
inline constexpr std::size_t most_tensors = std::size_t{1} << 17;
/// As PyTorch has it.
inline constexpr std::size_t most_dimensions = 64;

inline void check_tensor_count(place const& at, std::size_t count) {
    if (count > most_tensors)
        throw error(at, std::to_string(count) + " tensors", "at most " + std::to_string(most_tensors));
}
inline void check_rank(place const& at, std::size_t rank) {
    if (rank > most_dimensions)
        throw error(at, std::to_string(rank) + " dimensions", "at most " + std::to_string(most_dimensions));
}

/// Bytes of `dimensions` elements of `type`. Throws when the product leaves 63 bits or does not fill blocks.
inline checked tensor_bytes(place const& at, tensor_type type, std::span<index_t const> dimensions) {
    auto const layout = layout_of(type);
    checked count(1, at);
    checked without_zeros(1, at);  // a zero would hide that the others wrap
    for (auto const dimension : dimensions) {
        count *= checked(dimension, at);
        without_zeros *= std::max<index_t>(dimension, 1);
    }
    (void)without_zeros.index();
    if (count % layout.block_length != 0)
        throw error(at, shape_text(type, dimensions),
                    "blocks of " + std::to_string(layout.block_length) + " elements");
    auto const bytes = count / layout.block_length * layout.block_bytes;
    (void)bytes.index();
    return bytes;
}

/// The tensors of a weight file in the order of the file, found by name.
class tensor_list {
  public:
    tensor_list() = default;

    /// Throws when two have the same name.
    explicit tensor_list(std::vector<file_tensor> tensors) : tensors_(std::move(tensors)) {
        order_.resize(tensors_.size());
        std::iota(order_.begin(), order_.end(), std::size_t{0});
        auto const name = [this](std::size_t i) -> std::string_view { return tensors_[i].name; };
        std::ranges::sort(order_, {}, [&](std::size_t i) { return std::pair(name(i), i); });
        auto const again = std::ranges::adjacent_find(order_, {}, name);
        if (again != order_.end())
            throw error(tensors_[again[1]].where(), "a tensor of that name for the second time",
                        "every name once");
    }

    std::vector<file_tensor> const& all() const noexcept { return tensors_; }

    file_tensor const* find(std::string_view name) const noexcept {
        auto const at = std::ranges::lower_bound(
            order_, name, {}, [this](std::size_t i) -> std::string_view { return tensors_[i].name; });
        return at != order_.end() && tensors_[*at].name == name ? &tensors_[*at] : nullptr;
    }

    /// Throws when there is none, with the name that is closest.
    file_tensor const& at(std::string const& path, std::string_view name) const {
        if (auto const* found = find(name)) return *found;
        auto const closest = std::ranges::max_element(tensors_, {}, [&](file_tensor const& tensor) {
            return snug::detail::likeness(tensor.name, name);
        });
        auto expected = "one of the " + std::to_string(tensors_.size()) + " tensors of the file";
        if (closest != tensors_.end() && snug::detail::likeness(closest->name, name) * 2 > name.size())
            expected += "; the closest name is " + printable(closest->name);
        throw error({path}, "no tensor " + printable(name), std::move(expected));
    }

  private:
    std::vector<file_tensor> tensors_;
    std::vector<std::size_t> order_;  ///< by name
};

/// The blocks of GGUF as they lie in a file (ggml's `docs/gguf.md` and block formats). Every product of codes
/// and scales below is exact in fp32, so the values are the same with and without fused multiply-add.
namespace blocks {

using byte_pair = std::array<std::uint8_t, 2>;

/// An fp16 that may lie at any address.
inline float scale(byte_pair bits) noexcept { return fp16::from_bits(std::bit_cast<std::uint16_t>(bits)); }

/// x = (code - 8) d; code j in the low nibble of byte j, code j + 16 in the high one.
struct q4_0 {
    static constexpr index_t length = 32;
    byte_pair d;
    std::array<std::uint8_t, 16> codes;

    void decode(float* to) const noexcept {
        auto const factor = scale(d);
        for (std::size_t j = 0; j < 16; ++j) {
            to[j] = static_cast<float>((codes[j] & 15) - 8) * factor;
            to[j + 16] = static_cast<float>((codes[j] >> 4) - 8) * factor;
        }
    }
};
static_assert(sizeof(q4_0) == 18);

/// x = code d + m
struct q4_1 {
    static constexpr index_t length = 32;
    byte_pair d;
    byte_pair m;
    std::array<std::uint8_t, 16> codes;

    void decode(float* to) const noexcept {
        auto const factor = scale(d);
        auto const least = scale(m);
        for (std::size_t j = 0; j < 16; ++j) {
            to[j] = static_cast<float>(codes[j] & 15) * factor + least;
            to[j + 16] = static_cast<float>(codes[j] >> 4) * factor + least;
        }
    }
};
static_assert(sizeof(q4_1) == 20);

/// The fifth bits of 32 codes, bit j that of code j, as 0 or 16.
struct fifth_bits {
    std::array<std::uint8_t, 4> bits;

    std::array<std::uint8_t, 32> spread() const noexcept {
        auto const word = std::bit_cast<std::uint32_t>(bits);
        std::array<std::uint8_t, 32> result;
        for (std::uint32_t j = 0; j < 32; ++j) result[j] = static_cast<std::uint8_t>(word >> j << 4 & 16);
        return result;
    }
};

/// x = (code - 16) d
struct q5_0 {
    static constexpr index_t length = 32;
    byte_pair d;
    fifth_bits high;
    std::array<std::uint8_t, 16> codes;

    void decode(float* to) const noexcept {
        auto const factor = scale(d);
        auto const fifth = high.spread();
        for (std::size_t j = 0; j < 16; ++j) {
            to[j] = static_cast<float>(((codes[j] & 15) | fifth[j]) - 16) * factor;
            to[j + 16] = static_cast<float>(((codes[j] >> 4) | fifth[j + 16]) - 16) * factor;
        }
    }
};
static_assert(sizeof(q5_0) == 22);

/// x = code d + m
struct q5_1 {
    static constexpr index_t length = 32;
    byte_pair d;
    byte_pair m;
    fifth_bits high;
    std::array<std::uint8_t, 16> codes;

    void decode(float* to) const noexcept {
        auto const factor = scale(d);
        auto const least = scale(m);
        auto const fifth = high.spread();
        for (std::size_t j = 0; j < 16; ++j) {
            to[j] = static_cast<float>((codes[j] & 15) | fifth[j]) * factor + least;
            to[j + 16] = static_cast<float>((codes[j] >> 4) | fifth[j + 16]) * factor + least;
        }
    }
};
static_assert(sizeof(q5_1) == 24);

/// x = code d
struct q8_0 {
    static constexpr index_t length = 32;
    byte_pair d;
    std::array<std::int8_t, 32> codes;

    void decode(float* to) const noexcept {
        auto const factor = scale(d);
        for (std::size_t j = 0; j < 32; ++j) to[j] = static_cast<float>(codes[j]) * factor;
    }
};
static_assert(sizeof(q8_0) == 34);

/// 6-bit scales and minima of 8 sub-blocks in 12 bytes: the lower 6 bits of bytes 0 to 3 (scales) and 4 to 7
/// (minima) are those of sub-blocks 0 to 3; the others have their low nibbles in bytes 8 to 11, and the two bits
/// above them on top of bytes 0 to 7.
struct scales_and_minima {
    std::array<std::uint8_t, 12> bytes;

    float scale(std::size_t j) const noexcept {
        return static_cast<float>(j < 4 ? bytes[j] & 63 : (bytes[j + 4] & 15) | bytes[j - 4] >> 6 << 4);
    }
    float minimum(std::size_t j) const noexcept {
        return static_cast<float>(j < 4 ? bytes[j + 4] & 63 : bytes[j + 4] >> 4 | bytes[j] >> 6 << 4);
    }
};

/// x = code (d scale) - dmin minimum, 8 sub-blocks of 32. Low nibbles of the codes of an even sub-block are in the low
/// nibbles of 32 bytes, those of the next one in the high nibbles; `code(nibble, part, j)` is the whole code.
template <class Block, class Code>
void decode_sub_blocks(Block const& block, Code const& code, float* to) noexcept {
    auto const factor = scale(block.d);
    auto const least = scale(block.dmin);
    for (std::size_t part = 0; part < 8; ++part) {
        auto const* const from = block.codes.data() + part / 2 * 32;
        auto const shift = part % 2 * 4;
        auto const step = factor * block.scales.scale(part);
        auto const below = least * block.scales.minimum(part);
        for (std::size_t j = 0; j < 32; ++j)
            to[part * 32 + j] = static_cast<float>(code(from[j] >> shift & 15, part, j)) * step - below;
    }
}

struct q4_k {
    static constexpr index_t length = 256;
    byte_pair d;
    byte_pair dmin;
    scales_and_minima scales;
    std::array<std::uint8_t, 128> codes;

    void decode(float* to) const noexcept {
        decode_sub_blocks(
            *this, [](int nibble, std::size_t, std::size_t) { return nibble; }, to);
    }
};
static_assert(sizeof(q4_k) == 144);

/// As Q4_K, with bit p of `high[j]` as the fifth bit of code j of sub-block p.
struct q5_k {
    static constexpr index_t length = 256;
    byte_pair d;
    byte_pair dmin;
    scales_and_minima scales;
    std::array<std::uint8_t, 32> high;
    std::array<std::uint8_t, 128> codes;

    void decode(float* to) const noexcept {
        auto const with_fifth_bit = [this](int nibble, std::size_t part, std::size_t j) {
            return nibble | (high[j] >> part & 1) << 4;
        };
        decode_sub_blocks(*this, with_fifth_bit, to);
    }
};
static_assert(sizeof(q5_k) == 176);

/// x = (code - 32) (d scale), 16 sub-blocks of 16. Each half of 128 codes has its low nibbles in 64 bytes (32
/// codes in the low nibbles of the first 32 bytes, 32 in those of the second, then the high nibbles), and their
/// upper two bits in 32 bytes, from the lowest bits to the highest.
struct q6_k {
    static constexpr index_t length = 256;
    std::array<std::uint8_t, 128> low;
    std::array<std::uint8_t, 64> high;
    std::array<std::int8_t, 16> scales;
    byte_pair d;

    void decode(float* to) const noexcept {
        auto const factor = scale(d);
        for (std::size_t part = 0; part < 8; ++part) {
            auto const half = part / 4;
            auto const quarter = part % 4;
            auto const* const nibbles = low.data() + half * 64 + quarter % 2 * 32;
            auto const* const pairs = high.data() + half * 32;
            auto const shift = quarter / 2 * 4;
            for (std::size_t j = 0; j < 32; ++j) {
                auto const code = (nibbles[j] >> shift & 15) | (pairs[j] >> (2 * quarter) & 3) << 4;
                auto const step = factor * static_cast<float>(scales[part * 2 + j / 16]);
                to[part * 32 + j] = static_cast<float>(code - 32) * step;
            }
        }
    }
};
static_assert(sizeof(q6_k) == 210);

}  // namespace blocks

/// Elements from `first` on of an array of `Element`, each converted to float.
template <class Element>
void decode_elements(std::byte const* from, index_t first, std::span<float> to) noexcept {
    from += first * static_cast<index_t>(sizeof(Element));
    for (std::size_t i = 0; i < to.size(); ++i) {
        Element element;
        std::memcpy(&element, from + i * sizeof(Element), sizeof(Element));
        to[i] = static_cast<float>(element);
    }
}

/// Elements from `first` on of an array of blocks.
template <class Block>
void decode_blocks(std::byte const* from, index_t first, std::span<float> to) noexcept {
    auto const load = [](std::byte const* at) {
        Block block;
        std::memcpy(&block, at, sizeof(Block));
        return block;
    };
    from += first / Block::length * static_cast<index_t>(sizeof(Block));
    auto const skipped = static_cast<std::size_t>(first % Block::length);
    constexpr auto length = static_cast<std::size_t>(Block::length);
    std::array<float, length> whole;
    if (skipped != 0) {
        load(from).decode(whole.data());
        auto const count = std::min(to.size(), length - skipped);
        std::copy_n(whole.data() + skipped, count, to.data());
        to = to.subspan(count);
        from += sizeof(Block);
    }
    for (; to.size() >= length; to = to.subspan(length), from += sizeof(Block)) load(from).decode(to.data());
    if (!to.empty()) {
        load(from).decode(whole.data());
        std::copy_n(whole.data(), to.size(), to.data());
    }
}

}  // namespace detail

/// Elements [first, first + to.size()) of `tensor`, in C order, as float: exact, except that F64 is rounded to
/// the nearest. No memory is allocated. Throws for a range outside of the tensor, and for a type that is not one of F64,
/// F32, F16, BF16, F8_E4M3, F8_E5M2, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q4_K, Q5_K, Q6_K: integers are codes of a
/// scheme that the file does not describe, not weights. With an empty `to` it only says whether the type can be decoded.
inline void decode(file_tensor const& tensor, index_t first, std::span<float> to) {
    auto const size = tensor.size();
    if (first < 0 || first > size || to.size() > static_cast<std::size_t>(size - first))
        throw error(tensor.where(), std::to_string(size) + " elements",
                    std::to_string(to.size()) + " from element " + std::to_string(first));
    auto const* const from = tensor.bytes.data();
    switch (tensor.type) {
    case tensor_type::f64: return detail::decode_elements<double>(from, first, to);
    case tensor_type::f32: return detail::decode_elements<float>(from, first, to);
    case tensor_type::f16: return detail::decode_elements<fp16>(from, first, to);
    case tensor_type::bf16: return detail::decode_elements<bf16>(from, first, to);
    case tensor_type::f8_e4m3: return detail::decode_elements<fp8_e4m3>(from, first, to);
    case tensor_type::f8_e5m2: return detail::decode_elements<fp8_e5m2>(from, first, to);
    case tensor_type::q4_0: return detail::decode_blocks<detail::blocks::q4_0>(from, first, to);
    case tensor_type::q4_1: return detail::decode_blocks<detail::blocks::q4_1>(from, first, to);
    case tensor_type::q5_0: return detail::decode_blocks<detail::blocks::q5_0>(from, first, to);
    case tensor_type::q5_1: return detail::decode_blocks<detail::blocks::q5_1>(from, first, to);
    case tensor_type::q8_0: return detail::decode_blocks<detail::blocks::q8_0>(from, first, to);
    case tensor_type::q4_k: return detail::decode_blocks<detail::blocks::q4_k>(from, first, to);
    case tensor_type::q5_k: return detail::decode_blocks<detail::blocks::q5_k>(from, first, to);
    case tensor_type::q6_k: return detail::decode_blocks<detail::blocks::q6_k>(from, first, to);
    default: break;
    }
    throw error(
        tensor.where(), "elements of type " + std::string(name_of(tensor.type)),
        "floating point (F64, F32, F16, BF16, F8_E4M3, F8_E5M2) or blocks (Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, "
        "Q4_K, Q5_K, Q6_K)");
}

}  // namespace snug::SNUG_TARGET::io
