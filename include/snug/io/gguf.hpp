// SPDX-License-Identifier: Apache-2.0
#pragma once

/// \file
/// Reader of GGUF, the weight files of llama.cpp: versions 2 and 3, little-endian (ggml's `docs/gguf.md`).
///
/// Layout: "GGUF", u32 version, u64 number of tensors, u64 number of metadata entries; the entries (key, u32
/// type, value); per tensor its name, u32 number of dimensions, u64 per dimension (fastest first), u32 type,
/// u64 offset; then, from the next multiple of `general.alignment` on, the data that these offsets count in.
/// A text is a u64 length and its bytes; an array is a u32 type, a u64 length and the values.

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <snug/error.hpp>
#include <snug/io/file.hpp>
#include <snug/io/file_tensor.hpp>
#include <snug/io/size.hpp>
#include <snug/io/tokenizer/utf8.hpp>
#include <snug/meta.hpp>

namespace snug::io {

namespace detail {

/// Types of metadata values, by their numbers.
enum class gguf_type : std::uint32_t { u8, i8, u16, i16, u32, i32, f32, flag, text, array, u64, i64, f64 };

/// Bytes of one value; 0 where that depends on the value.
constexpr std::size_t size_of(gguf_type type) noexcept {
    switch (type) {
    case gguf_type::u8:
    case gguf_type::i8:
    case gguf_type::flag: return 1;
    case gguf_type::u16:
    case gguf_type::i16: return 2;
    case gguf_type::u32:
    case gguf_type::i32:
    case gguf_type::f32: return 4;
    case gguf_type::u64:
    case gguf_type::i64:
    case gguf_type::f64: return 8;
    case gguf_type::text:
    case gguf_type::array: break;
    }
    return 0;
}

constexpr std::string_view name_of(gguf_type type) noexcept {
    constexpr std::array<std::string_view, 13> names{"u8",   "i8",   "u16",   "i16", "u32", "i32", "f32",
                                                     "flag", "text", "array", "u64", "i64", "f64"};
    return names[static_cast<std::size_t>(type)];
}

/// The tensor type of a number of ggml's, if it is one that may be in a file.
constexpr std::optional<tensor_type> gguf_tensor_type(std::uint32_t number) noexcept {
    switch (number) {
    case 0: return tensor_type::f32;
    case 1: return tensor_type::f16;
    case 2: return tensor_type::q4_0;
    case 3: return tensor_type::q4_1;
    case 6: return tensor_type::q5_0;
    case 7: return tensor_type::q5_1;
    case 8: return tensor_type::q8_0;
    case 10: return tensor_type::q2_k;
    case 11: return tensor_type::q3_k;
    case 12: return tensor_type::q4_k;
    case 13: return tensor_type::q5_k;
    case 14: return tensor_type::q6_k;
    case 16: return tensor_type::iq2_xxs;
    case 17: return tensor_type::iq2_xs;
    case 18: return tensor_type::iq3_xxs;
    case 19: return tensor_type::iq1_s;
    case 20: return tensor_type::iq4_nl;
    case 21: return tensor_type::iq3_s;
    case 22: return tensor_type::iq2_s;
    case 23: return tensor_type::iq4_xs;
    case 24: return tensor_type::i8;
    case 25: return tensor_type::i16;
    case 26: return tensor_type::i32;
    case 27: return tensor_type::i64;
    case 28: return tensor_type::f64;
    case 29: return tensor_type::iq1_m;
    case 30: return tensor_type::bf16;
    case 34: return tensor_type::tq1_0;
    case 35: return tensor_type::tq2_0;
    case 39: return tensor_type::mxfp4;
    default: return std::nullopt;
    }
}

}  // namespace detail

/// A GGUF file, mapped. The constructor checks its whole structure; what is handed out later are views into the
/// mapping, valid as long as the reader. Moving the reader keeps them valid.
class gguf {
  public:
    /// Throws when the file is missing, not GGUF of version 2 or 3, cut short, or contradicts itself.
    explicit gguf(std::string path) : file_(std::move(path)) {
        reader from{file_};
        auto const [tensors, entries] = read_header(from);
        read_entries(from, entries);
        read_tensors(from, tensors);
    }

    std::string const& path() const noexcept { return file_.path(); }

    /// The metadata has that key.
    bool has(std::string_view key) const noexcept { return find(key) != nullptr; }

    // The values of the metadata. Each throws when the key is missing or its value of another kind.

    std::string_view text(std::string_view key) const {
        auto const& held = at(key, detail::gguf_type::text);
        return text_of(held.bytes);
    }
    /// An integer of any width.
    index_t number(std::string_view key) const {
        auto const& held = at(key);
        if (!is_integer(held.type)) refuse(held, "an integer");
        return integer_of(held, held.type, held.bytes.data());
    }
    double real(std::string_view key) const {
        auto const& held = at(key);
        if (!is_real(held.type)) refuse(held, "a number f32 or f64");
        return real_of(held.type, held.bytes.data());
    }
    bool flag(std::string_view key) const {
        return at(key, detail::gguf_type::flag).bytes.front() != std::byte{0};
    }
    /// An array of texts. They are not checked to be UTF-8.
    std::vector<std::string_view> texts(std::string_view key) const {
        auto const& held = array_at(key);
        if (held.element != detail::gguf_type::text) refuse(held, "an array of texts");
        std::vector<std::string_view> result;
        result.reserve(held.count);
        for (auto rest = held.bytes; !rest.empty();) {
            result.push_back(text_of(rest));
            rest = rest.subspan(sizeof(std::uint64_t) + result.back().size());
        }
        return result;
    }
    /// An array of integers of any width.
    std::vector<index_t> numbers(std::string_view key) const {
        auto const& held = array_at(key);
        if (!is_integer(held.element)) refuse(held, "an array of integers");
        return elements<index_t>(held,
                                 [&](std::byte const* from) { return integer_of(held, held.element, from); });
    }
    std::vector<double> reals(std::string_view key) const {
        auto const& held = array_at(key);
        if (!is_real(held.element)) refuse(held, "an array of numbers f32 or f64");
        return elements<double>(held, [&](std::byte const* from) { return real_of(held.element, from); });
    }

    /// In the order of the file.
    std::vector<file_tensor> const& tensors() const& noexcept { return tensors_.all(); }
    std::vector<file_tensor> const& tensors() const&& = delete;  // they would end with the file
    bool has_tensor(std::string_view name) const noexcept { return tensors_.find(name) != nullptr; }
    /// Throws when there is no tensor of that name.
    file_tensor const& tensor(std::string_view name) const { return tensors_.at(path(), name); }

    /// Takes the file's pages out of this process's resident memory, after copying.
    void forget() const noexcept { file_.forget(); }

  private:
    struct entry {
        std::string_view key;
        detail::gguf_type type{};
        detail::gguf_type element{};       ///< of an array
        std::uint64_t count = 0;           ///< of an array
        std::span<std::byte const> bytes;  ///< the value; of an array, its elements
        index_t offset = 0;                ///< of the value
    };

    /// Takes the file apart from front to back.
    struct reader {
        mapping const& file;
        checked at{};

        place here() const { return {file.path(), at.index()}; }

        std::span<std::byte const> take(checked count) {
            auto const result = file.bytes(at, count);
            at += count;
            return result;
        }
        template <class T>
        T take() {
            T value;
            std::memcpy(&value, take(sizeof(T)).data(), sizeof(T));
            return value;
        }
        std::string_view text() {
            auto const length = take<std::uint64_t>();
            auto const bytes = take(length);
            return {reinterpret_cast<char const*>(bytes.data()), bytes.size()};
        }
        /// A text that must be UTF-8 of 1 to `longest` bytes.
        std::string_view name(std::string_view what, std::size_t longest) {
            auto const from = here();
            auto const result = text();
            if (result.empty() || result.size() > longest)
                throw error(from, std::string(what) + " of " + std::to_string(result.size()) + " bytes",
                            "1 to " + std::to_string(longest));
            if (auto const valid = utf8::valid_prefix(result); valid != result.size())
                throw error(from, std::string(what) + " " + printable(result), "UTF-8");
            return result;
        }
        detail::gguf_type type() {
            auto const from = here();
            auto const number = take<std::uint32_t>();
            if (number > static_cast<std::uint32_t>(detail::gguf_type::f64))
                throw error(from, "a value of type " + std::to_string(number), "a type from 0 to 12");
            return static_cast<detail::gguf_type>(number);
        }
        /// A number of things that take at least `least` bytes each.
        std::uint64_t count(std::string_view what, std::size_t least) {
            auto const from = here();
            auto const number = take<std::uint64_t>();
            auto const most = (file.size() - at) / least;
            if (number > most)
                throw error(from, std::to_string(number) + " " + std::string(what),
                            "at most the " + std::to_string(most.value()) + " that the file has room for");
            return number;
        }
    };

    static constexpr std::size_t least_entry = 8 + 1 + 4 + 1;
    static constexpr std::size_t least_tensor = 8 + 1 + 4 + 4 + 8;
    static constexpr std::size_t longest_key = 65535;
    static constexpr std::size_t longest_name = 64;
    static constexpr std::uint32_t most_dimensions = 4;
    static constexpr std::string_view alignment_key = "general.alignment";

    static std::pair<std::uint64_t, std::uint64_t> read_header(reader& from) {
        constexpr std::string_view magic = "GGUF";
        auto const size = from.file.size();
        if (size < magic.size() ||
            std::memcmp(from.take(magic.size()).data(), magic.data(), magic.size()) != 0)
            throw error({from.file.path(), 0}, "a file without the magic of GGUF", "\"GGUF\"");
        auto const at = from.here();
        auto const version = from.take<std::uint32_t>();
        if (version != 2 && version != 3)
            throw error(at,
                        version != 0 && (version & 0xffff) == 0 ? "a big-endian file"
                                                                : "version " + std::to_string(version),
                        "version 2 or 3, little-endian");
        auto const tensors = from.count("tensors", least_tensor);
        auto const entries = from.count("metadata entries", least_entry);
        return {tensors, entries};
    }

    void read_entries(reader& from, std::uint64_t count) {
        entries_.reserve(count);
        for (std::uint64_t i = 0; i < count; ++i) {
            entry next;
            next.key = from.name("a key", longest_key);
            next.type = from.type();
            next.offset = from.at.index();
            if (next.type == detail::gguf_type::array) {
                next.element = from.type();
                if (next.element == detail::gguf_type::array)
                    throw error({path(), next.offset}, printable(next.key) + ", an array of arrays",
                                "an array of plain values");
                auto const size = detail::size_of(next.element);
                next.count = from.count("array elements", size != 0 ? size : sizeof(std::uint64_t));
                next.bytes = size != 0 ? from.take(checked(next.count) * size) : take_texts(from, next.count);
            } else if (next.type == detail::gguf_type::text) {
                next.bytes = take_texts(from, 1);
            } else {
                next.bytes = from.take(detail::size_of(next.type));
            }
            if (next.type == detail::gguf_type::flag || next.element == detail::gguf_type::flag)
                check_flags(next);
            entries_.push_back(next);
        }
        std::ranges::stable_sort(entries_, {}, &entry::key);
        auto const again = std::ranges::adjacent_find(entries_, {}, &entry::key);
        if (again != entries_.end())
            throw error({path(), again[1].offset},
                        "the key " + printable(again->key) + " for the second time", "every key once");
    }

    std::span<std::byte const> take_texts(reader& from, std::uint64_t count) const {
        auto const first = from.at;
        for (std::uint64_t i = 0; i < count; ++i) (void)from.text();
        return file_.bytes(first, from.at - first);
    }

    void check_flags(entry const& held) const {
        auto const bad = std::ranges::find_if(held.bytes, [](std::byte b) { return b > std::byte{1}; });
        if (bad != held.bytes.end())
            throw error({path(), &*bad - file_.bytes().data()},
                        "a flag of " + std::to_string(std::to_integer<int>(*bad)), "0 or 1");
    }

    checked read_alignment() const {
        auto const* const held = find(alignment_key);
        if (held == nullptr) return 32;
        if (held->type != detail::gguf_type::u32) refuse(*held, "a u32");
        auto const alignment = integer_of(*held, held->type, held->bytes.data());
        if (alignment < 8 || !std::has_single_bit(static_cast<std::uint64_t>(alignment)))
            throw error({path(), held->offset}, "an alignment of " + std::to_string(alignment),
                        "a power of two from 8 on");
        return alignment;
    }

    void read_tensors(reader& from, std::uint64_t count) {
        auto const alignment = read_alignment();
        std::vector<file_tensor> tensors;
        std::vector<std::pair<checked, checked>> ranges;  // offset in the data, bytes
        tensors.reserve(count);
        ranges.reserve(count);
        for (std::uint64_t i = 0; i < count; ++i) {
            auto const start = from.here();
            file_tensor next;
            next.name = from.name("a tensor name", longest_name);
            next.file = path();
            place const at{path(), start.offset, printable(next.name)};
            auto const rank = from.take<std::uint32_t>();
            if (rank > most_dimensions) throw error(at, std::to_string(rank) + " dimensions", "at most 4");
            next.dimensions.resize(rank);
            for (auto& dimension : next.dimensions)
                dimension = checked(from.take<std::uint64_t>(), at).index();
            auto const number = from.take<std::uint32_t>();
            auto const type = detail::gguf_tensor_type(number);
            if (!type) throw error(at, "elements of type " + std::to_string(number), "a type of ggml's");
            next.type = *type;
            auto const block = layout_of(next.type).block_length;
            if (block > 1 && (rank == 0 || next.dimensions.front() % block != 0)) {
                std::ranges::reverse(next.dimensions);
                throw error(at, shape_text(next), "rows of a multiple of " + std::to_string(block));
            }
            std::ranges::reverse(next.dimensions);
            checked const offset(from.take<std::uint64_t>());
            if (offset % alignment != 0)
                throw error(at, "an offset of " + std::to_string(offset.value()),
                            "a multiple of " + std::to_string(alignment.value()));
            ranges.emplace_back(offset, detail::tensor_bytes(at, next.type, next.dimensions).value());
            tensors.push_back(std::move(next));
        }
        if (count == 0) return;

        auto const data = from.at.rounded_up(alignment);
        for (std::size_t i = 0; i < tensors.size(); ++i) {
            auto& tensor = tensors[i];
            place const at{path(), -1, printable(tensor.name)};
            auto const [offset, size] = ranges[i];
            checked const end = checked(data.value(), at) + offset + size;
            if (end > file_.size())
                throw error(at, "data up to byte " + std::to_string(end.value()),
                            "a file of more than its " + std::to_string(file_.size().value()) + " bytes");
            tensor.offset = (data + offset).index();
            tensor.bytes = file_.bytes(tensor.offset, size);
        }
        check_overlap(tensors);
        tensors_ = detail::tensor_list(std::move(tensors));
    }

    static void check_overlap(std::vector<file_tensor> const& tensors) {
        std::vector<file_tensor const*> order;
        order.reserve(tensors.size());
        for (auto const& tensor : tensors) order.push_back(&tensor);
        std::ranges::stable_sort(
            order, {}, [](auto const* tensor) { return std::pair(tensor->offset, tensor->bytes.size()); });
        for (std::size_t i = 1; i < order.size(); ++i) {
            auto const before = checked(order[i - 1]->offset) + order[i - 1]->bytes.size();
            if (before > order[i]->offset)
                throw error(order[i]->where(),
                            "data that begins before that of " + printable(order[i - 1]->name) + " ends",
                            "data from byte " + std::to_string(before.value()) + " on");
        }
    }

    entry const* find(std::string_view key) const noexcept {
        auto const found = std::ranges::lower_bound(entries_, key, {}, &entry::key);
        return found != entries_.end() && found->key == key ? &*found : nullptr;
    }
    entry const& at(std::string_view key) const {
        if (auto const* const found = find(key)) return *found;
        throw error({path()}, "no metadata of the key " + printable(key), "such an entry");
    }
    entry const& at(std::string_view key, detail::gguf_type type) const {
        auto const& found = at(key);
        if (found.type != type)
            refuse(found,
                   (type == detail::gguf_type::array ? "an " : "a ") + std::string(detail::name_of(type)));
        return found;
    }
    entry const& array_at(std::string_view key) const { return at(key, detail::gguf_type::array); }

    [[noreturn]] void refuse(entry const& held, std::string const& expected) const {
        auto const is_array = held.type == detail::gguf_type::array;
        throw error({path(), held.offset},
                    printable(held.key) + " of type " + std::string(is_array ? "array of " : "") +
                        std::string(detail::name_of(is_array ? held.element : held.type)),
                    expected);
    }

    static constexpr bool is_real(detail::gguf_type type) noexcept {
        return type == detail::gguf_type::f32 || type == detail::gguf_type::f64;
    }
    static constexpr bool is_integer(detail::gguf_type type) noexcept {
        return detail::size_of(type) != 0 && !is_real(type) && type != detail::gguf_type::flag;
    }

    template <class T>
    static T value_at(std::byte const* from) noexcept {
        T value;
        std::memcpy(&value, from, sizeof(T));
        return value;
    }
    static std::string_view text_of(std::span<std::byte const> bytes) noexcept {
        auto const length = value_at<std::uint64_t>(bytes.data());
        return {reinterpret_cast<char const*>(bytes.data()) + sizeof length,
                static_cast<std::size_t>(length)};
    }
    static double real_of(detail::gguf_type type, std::byte const* from) noexcept {
        return type == detail::gguf_type::f32 ? static_cast<double>(value_at<float>(from))
                                              : value_at<double>(from);
    }
    index_t integer_of(entry const& held, detail::gguf_type type, std::byte const* from) const {
        switch (type) {
        case detail::gguf_type::u8: return value_at<std::uint8_t>(from);
        case detail::gguf_type::i8: return value_at<std::int8_t>(from);
        case detail::gguf_type::u16: return value_at<std::uint16_t>(from);
        case detail::gguf_type::i16: return value_at<std::int16_t>(from);
        case detail::gguf_type::u32: return value_at<std::uint32_t>(from);
        case detail::gguf_type::i32: return value_at<std::int32_t>(from);
        case detail::gguf_type::u64: {
            place const at{path(), held.offset};
            return checked(value_at<std::uint64_t>(from), at).index();
        }
        default: return value_at<std::int64_t>(from);
        }
    }
    template <class T, class Convert>
    static std::vector<T> elements(entry const& held, Convert convert) {
        std::vector<T> result;
        result.reserve(held.count);
        auto const size = detail::size_of(held.element);
        for (std::size_t i = 0; i < held.count; ++i) result.push_back(convert(held.bytes.data() + i * size));
        return result;
    }

    mapping file_;
    std::vector<entry> entries_;  ///< by key
    detail::tensor_list tensors_;
};

}  // namespace snug::io
