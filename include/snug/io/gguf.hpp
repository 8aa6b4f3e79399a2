// SPDX-License-Identifier: Apache-2.0
#pragma once

/// \file
/// Reader of GGUF, the weight files of llama.cpp: versions 2 and 3, little-endian (ggml's `docs/gguf.md`).
///
/// Layout: "GGUF", u32 version, u64 number of tensors, u64 number of metadata entries; the entries (key, u32
/// type, value); per tensor its name, u32 number of dimensions, u64 per dimension (fastest first), u32 type,
/// u64 offset; then, from the next multiple of `general.alignment` on, the data that these offsets count in.
/// A text is a u64 length and its bytes; an array is a u32 type, a u64 length and the values.
///
/// A model in parts (llama.cpp's `gguf-split`) is files of names `NAME-00001-of-00003.gguf` with the metadata
/// `split.no` (from 0), `split.count` and `split.tensors.count`; all other metadata is in the first.

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
#include <tuple>
#include <utility>
#include <vector>

#include <snug/error.hpp>
#include <snug/io/file.hpp>
#include <snug/io/file_tensor.hpp>
#include <snug/io/size.hpp>
#include <snug/meta.hpp>
#include <snug/utf8.hpp>

namespace snug::SNUG_TARGET::io {

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

/// A GGUF file or a model in parts, mapped. The constructor checks the whole structure; what is handed out later are views
/// into the mappings, valid as long as the reader. Moving the reader keeps them valid.
class gguf {
  public:
    /// `path` is a file, or the first part of several, which are then all read. Throws when one is missing, not GGUF of
    /// version 2 or 3, cut short, or contradicts itself or the others; and for a part that is not the first.
    explicit gguf(std::string path) {
        std::vector<file_tensor> tensors;
        metadata_ = read_file(std::move(path), tensors);
        read_parts(tensors);
        tensors_ = detail::tensor_list(std::move(tensors));
    }

    std::string const& path() const noexcept { return metadata_.path; }
    /// Of all parts.
    std::vector<std::string> paths() const {
        std::vector<std::string> result;
        for (auto const& file : files_) result.push_back(file.path());
        return result;
    }

    /// The metadata has that key.
    bool has(std::string_view key) const noexcept { return metadata_.find(key) != nullptr; }

    /// The keys of the metadata, sorted.
    std::vector<std::string_view> keys() const {
        std::vector<std::string_view> result;
        result.reserve(metadata_.entries.size());
        for (auto const& held : metadata_.entries) result.push_back(held.key);
        return result;
    }

    // The values of the metadata. Each throws when the key is missing or its value of another kind. Where one number or
    // flag is asked for, an array of as many equal ones is one, too: what could differ from layer to layer and does not.

    std::string_view text(std::string_view key) const {
        auto const& found = metadata_.at(key);
        if (found.type != detail::gguf_type::text) metadata_.refuse(found, "a text");
        return text_of(found.bytes);
    }
    /// An integer of any width.
    index_t number(std::string_view key) const { return metadata_.number(metadata_.at(key)); }
    double real(std::string_view key) const {
        auto const& found = metadata_.at(key);
        if (!is_real(found.value_type())) metadata_.refuse(found, "a number f32 or f64");
        return real_of(found.value_type(), metadata_.one_of(found, "number"));
    }
    bool flag(std::string_view key) const {
        auto const& found = metadata_.at(key);
        if (found.value_type() != detail::gguf_type::flag) metadata_.refuse(found, "a flag");
        return *metadata_.one_of(found, "flag") != std::byte{0};
    }
    /// An array of texts. They are not checked to be UTF-8.
    std::vector<std::string_view> texts(std::string_view key) const {
        auto const& found = metadata_.array_at(key);
        if (found.element != detail::gguf_type::text) metadata_.refuse(found, "an array of texts");
        std::vector<std::string_view> result;
        result.reserve(found.count);
        for (auto rest = found.bytes; !rest.empty();) {
            result.push_back(text_of(rest));
            rest = rest.subspan(sizeof(std::uint64_t) + result.back().size());
        }
        return result;
    }
    /// An array of integers of any width.
    std::vector<index_t> numbers(std::string_view key) const {
        auto const& found = metadata_.array_at(key);
        if (!is_integer(found.element)) metadata_.refuse(found, "an array of integers");
        return metadata_.elements<index_t>(
            found, [&](std::byte const* from) { return metadata_.integer_of(found, found.element, from); });
    }
    std::vector<double> reals(std::string_view key) const {
        auto const& found = metadata_.array_at(key);
        if (!is_real(found.element)) metadata_.refuse(found, "an array of numbers f32 or f64");
        return metadata_.elements<double>(
            found, [&](std::byte const* from) { return real_of(found.element, from); });
    }

    /// In the order of the file, part by part.
    std::vector<file_tensor> const& tensors() const& noexcept { return tensors_.all(); }
    std::vector<file_tensor> const& tensors() const&& = delete;  // they would end with the file
    bool has_tensor(std::string_view name) const noexcept { return tensors_.find(name) != nullptr; }
    /// Throws when there is no tensor of that name.
    file_tensor const& tensor(std::string_view name) const { return tensors_.at(path(), name); }

    /// Takes the files' pages out of this process's resident memory, after copying.
    void forget() const noexcept {
        for (auto const& file : files_) file.forget();
    }

  private:
    struct entry {
        std::string_view key;
        detail::gguf_type type{};
        detail::gguf_type element{};       ///< of an array
        std::uint64_t count = 0;           ///< of an array
        std::span<std::byte const> bytes;  ///< the value; of an array, its elements
        index_t offset = 0;                ///< of the value

        bool is_array() const noexcept { return type == detail::gguf_type::array; }
        /// Of the value, or of each in an array.
        detail::gguf_type value_type() const noexcept { return is_array() ? element : type; }
    };

    /// The metadata of one file.
    struct metadata {
        std::string path{};
        std::vector<entry> entries{};  ///< by key

        entry const* find(std::string_view key) const noexcept {
            auto const found = std::ranges::lower_bound(entries, key, {}, &entry::key);
            return found != entries.end() && found->key == key ? &*found : nullptr;
        }
        entry const& at(std::string_view key) const {
            if (auto const* const found = find(key)) return *found;
            throw error({path}, "no metadata of the key " + printable(key), "such an entry");
        }
        /// An array that may be taken into memory.
        entry const& array_at(std::string_view key) const {
            auto const& found = at(key);
            if (!found.is_array()) refuse(found, "an array");
            if (found.count > most_elements)
                throw error({path, found.offset},
                            printable(key) + ", an array of " + std::to_string(found.count),
                            "at most " + std::to_string(most_elements));
            return found;
        }

        [[noreturn]] void refuse(entry const& held, std::string const& expected) const {
            throw error({path, held.offset},
                        printable(held.key) + " of type " + (held.is_array() ? "array of " : "") +
                            std::string(detail::name_of(held.value_type())),
                        expected);
        }

        /// The one value, or the first of an array whose values are all the same.
        std::byte const* one_of(entry const& held, std::string const& what) const {
            auto const size = detail::size_of(held.value_type());
            auto const words = [&](std::string const& found) {
                throw error({path, held.offset}, printable(held.key) + ", an array of " + found,
                            "one " + what + ", or the same one for all layers");
            };
            if (held.bytes.empty()) words("0");
            for (std::size_t at = size; at < held.bytes.size(); at += size)
                if (std::memcmp(held.bytes.data(), held.bytes.data() + at, size) != 0)
                    words("different " + what + "s");
            return held.bytes.data();
        }

        index_t number(entry const& held) const {
            if (!is_integer(held.value_type())) refuse(held, "an integer");
            return integer_of(held, held.value_type(), one_of(held, "number"));
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
                place const at{path, held.offset};
                return checked(value_at<std::uint64_t>(from), at).index();
            }
            default: return value_at<std::int64_t>(from);
            }
        }
        template <class T, class Convert>
        std::vector<T> elements(entry const& held, Convert convert) const {
            std::vector<T> result;
            result.reserve(held.count);
            auto const size = detail::size_of(held.element);
            for (std::size_t i = 0; i < held.count; ++i)
                result.push_back(convert(held.bytes.data() + i * size));
            return result;
        }
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
        std::uint64_t count(std::string_view what, std::size_t least,
                            std::uint64_t allowed = ~std::uint64_t{0}) {
            auto const from = here();
            auto const number = take<std::uint64_t>();
            auto const refuse = [&](std::string const& expected) {
                throw error(from, std::to_string(number) + " " + std::string(what), expected);
            };
            auto const most = (file.size() - at) / least;
            if (number > most)
                refuse("at most the " + std::to_string(most.value()) + " that the file has room for");
            if (number > allowed) refuse("at most " + std::to_string(allowed));
            return number;
        }
    };

    static constexpr std::size_t least_entry = 8 + 1 + 4 + 1;
    static constexpr std::size_t least_tensor = 8 + 1 + 4 + 4 + 8;
    static constexpr std::uint64_t most_entries = std::uint64_t{1} << 16;
    static constexpr std::uint64_t most_elements = std::uint64_t{1} << 22;  ///< texts, or numbers asked for
    static constexpr std::size_t longest_key = 65535;
    static constexpr std::size_t longest_name = 64;
    static constexpr std::uint32_t most_dimensions = 4;
    static constexpr std::string_view alignment_key = "general.alignment";
    static constexpr std::string_view split_count = "split.count";
    static constexpr std::string_view split_number = "split.no";
    static constexpr std::string_view split_tensors = "split.tensors.count";

    /// Maps a file, appends its tensors, and gives its metadata.
    metadata read_file(std::string path, std::vector<file_tensor>& tensors) {
        files_.emplace_back(std::move(path));
        reader from{files_.back()};
        auto const [tensor_count, entry_count] = read_header(from);
        auto result = read_entries(from, entry_count);
        read_tensors(from, tensor_count, read_alignment(result), tensors);
        return result;
    }

    void read_parts(std::vector<file_tensor>& tensors) {
        auto const* const split = metadata_.find(split_count);
        if (split == nullptr) return;
        constexpr index_t most = 99999;  // five digits
        auto const count = bounded(metadata_, split_count, 0, most);
        if (count <= 1) return;  // merged again, or never more
        auto const number = bounded(metadata_, split_number, 0, count - 1);
        auto const part = [&](index_t i) {
            return "part " + std::to_string(i + 1) + " of " + std::to_string(count);
        };
        auto const tail = [&](index_t i) {
            auto const digits = [](index_t n) {
                auto const plain = std::to_string(n);
                return std::string(5 - plain.size(), '0') + plain;
            };
            return "-" + digits(i + 1) + "-of-" + digits(count) + ".gguf";
        };
        if (number != 0)
            throw error({path(), metadata_.at(split_number).offset}, part(number) + " of a model",
                        part(0) + ", with the others beside it (its name ends in " + tail(0) + ")");
        if (!path().ends_with(tail(0)))
            throw error({path(), split->offset},
                        part(0) + " under a name that does not tell those of the others",
                        "a name that ends in " + tail(0));
        auto const common = path().substr(0, path().size() - tail(0).size());
        for (index_t i = 1; i < count; ++i) {
            auto const other = read_file(common + tail(i), tensors);
            if (auto const found = bounded(other, split_count, 0, most); found != count)
                throw error({other.path, other.at(split_count).offset}, "a part of " + std::to_string(found),
                            part(i));
            if (auto const found = bounded(other, split_number, 0, count - 1); found != i)
                throw error({other.path, other.at(split_number).offset}, part(found), part(i));
            check_metadata(other);
            detail::check_tensor_count({other.path, 8}, tensors.size());
        }
        if (metadata_.find(split_tensors) == nullptr) return;
        if (auto const stated = metadata_.number(metadata_.at(split_tensors));
            checked(tensors.size()) != std::max<index_t>(stated, 0))
            throw error({path(), metadata_.at(split_tensors).offset},
                        std::to_string(stated) + " tensors in all parts",
                        "the " + std::to_string(tensors.size()) + " that are there");
    }

    /// What another part says must be what the first says, but for its own place.
    void check_metadata(metadata const& other) const {
        for (auto const& held : other.entries) {
            if (held.key == split_count || held.key == split_number || held.key == split_tensors ||
                held.key == alignment_key)
                continue;
            auto const* const same = metadata_.find(held.key);
            if (same == nullptr || same->type != held.type || same->element != held.element ||
                !std::ranges::equal(same->bytes, held.bytes))
                throw error({other.path, held.offset}, "metadata " + printable(held.key) + " of its own",
                            "all metadata in the first part");
        }
    }

    static index_t bounded(metadata const& from, std::string_view key, index_t least, index_t most) {
        auto const& held = from.at(key);
        auto const number = from.number(held);
        if (number < least || number > most)
            throw error({from.path, held.offset}, printable(key) + " = " + std::to_string(number),
                        std::to_string(least) + " to " + std::to_string(most));
        return number;
    }

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
        auto const tensors = from.count("tensors", least_tensor, detail::most_tensors);
        auto const entries = from.count("metadata entries", least_entry, most_entries);
        return {tensors, entries};
    }

    static metadata read_entries(reader& from, std::uint64_t count) {
        metadata result{from.file.path()};
        auto& entries = result.entries;
        entries.reserve(count);
        for (std::uint64_t i = 0; i < count; ++i) {
            entry next;
            next.key = from.name("a key", longest_key);
            next.type = from.type();
            next.offset = from.at.index();
            if (next.type == detail::gguf_type::array) {
                next.element = from.type();
                if (next.element == detail::gguf_type::array)
                    throw error({result.path, next.offset}, printable(next.key) + ", an array of arrays",
                                "an array of plain values");
                auto const size = detail::size_of(next.element);
                next.count = size != 0 ? from.count("array elements", size)
                                       : from.count("array elements", sizeof(std::uint64_t), most_elements);
                next.bytes = size != 0 ? from.take(checked(next.count) * size) : take_texts(from, next.count);
            } else if (next.type == detail::gguf_type::text) {
                next.bytes = take_texts(from, 1);
            } else {
                next.bytes = from.take(detail::size_of(next.type));
            }
            if (next.value_type() == detail::gguf_type::flag) check_flags(from.file, next);
            entries.push_back(next);
        }
        std::ranges::sort(entries, {}, [](entry const& one) { return std::pair(one.key, one.offset); });
        auto const again = std::ranges::adjacent_find(entries, {}, &entry::key);
        if (again != entries.end())
            throw error({result.path, again[1].offset},
                        "the key " + printable(again->key) + " for the second time", "every key once");
        return result;
    }

    static std::span<std::byte const> take_texts(reader& from, std::uint64_t count) {
        auto const first = from.at;
        for (std::uint64_t i = 0; i < count; ++i) (void)from.text();
        return from.file.bytes(first, from.at - first);
    }

    static void check_flags(mapping const& file, entry const& held) {
        auto const bad = std::ranges::find_if(held.bytes, [](std::byte b) { return b > std::byte{1}; });
        if (bad != held.bytes.end())
            throw error({file.path(), &*bad - file.bytes().data()},
                        "a flag of " + std::to_string(std::to_integer<int>(*bad)), "0 or 1");
    }

    static checked read_alignment(metadata const& from) {
        auto const* const held = from.find(alignment_key);
        if (held == nullptr) return 32;
        if (held->type != detail::gguf_type::u32) from.refuse(*held, "a u32");
        auto const alignment = from.number(*held);
        if (alignment < 8 || !std::has_single_bit(static_cast<std::uint64_t>(alignment)))
            throw error({from.path, held->offset}, "an alignment of " + std::to_string(alignment),
                        "a power of two from 8 on");
        return alignment;
    }

    static void read_tensors(reader& from, std::uint64_t count, checked alignment,
                             std::vector<file_tensor>& tensors) {
        auto const& file = from.file;
        auto const first = tensors.size();
        std::vector<std::pair<checked, checked>> ranges;  // offset in the data, bytes
        tensors.reserve(first + count);
        ranges.reserve(count);
        for (std::uint64_t i = 0; i < count; ++i) {
            auto const start = from.here();
            file_tensor next;
            next.name = from.name("a tensor name", longest_name);
            next.file = file.path();
            place const at{file.path(), start.offset, printable(next.name)};
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
        for (std::size_t i = 0; i < ranges.size(); ++i) {
            auto& tensor = tensors[first + i];
            place const at{file.path(), -1, printable(tensor.name)};
            auto const [offset, size] = ranges[i];
            checked const end = checked(data.value(), at) + offset + size;
            if (end > file.size())
                throw error(at, "data up to byte " + std::to_string(end.value()),
                            "a file of more than its " + std::to_string(file.size().value()) + " bytes");
            tensor.offset = (data + offset).index();
            tensor.bytes = file.bytes(tensor.offset, size);
        }
        check_overlap(std::span(tensors).subspan(first));
    }

    static void check_overlap(std::span<file_tensor const> tensors) {
        std::vector<file_tensor const*> order;
        order.reserve(tensors.size());
        for (auto const& tensor : tensors) order.push_back(&tensor);
        std::ranges::sort(order, {}, [](auto const* tensor) {
            return std::tuple(tensor->offset, tensor->bytes.size(), tensor);
        });
        for (std::size_t i = 1; i < order.size(); ++i) {
            auto const before = checked(order[i - 1]->offset) + order[i - 1]->bytes.size();
            if (before > order[i]->offset)
                throw error(order[i]->where(),
                            "data that begins before that of " + printable(order[i - 1]->name) + " ends",
                            "data from byte " + std::to_string(before.value()) + " on");
        }
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
    std::vector<mapping> files_;  ///< the parts
    metadata metadata_;           ///< of the first
    detail::tensor_list tensors_;
};

}  // namespace snug::SNUG_TARGET::io
