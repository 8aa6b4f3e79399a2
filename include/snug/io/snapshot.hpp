// SPDX-License-Identifier: Apache-2.0
#pragma once

/// \file
/// The container of snapshots: named texts, numbers and tensors in one file, whole or not at all.
///
/// Layout, version 1; all integers little-endian:
///
///     0    16  magic: "snug-snapshot\n" and two zero bytes
///     16    4  version, 1
///     20    4  zero
///     24    8  size of the file
///     32    8  offset of the table of contents, a multiple of 64
///     40    8  size of the table of contents; it ends the file
///     48    8  checksum of the table of contents
///     56    8  checksum of bytes 0 to 55
///     64       the tensors in the order of the table, each at the next multiple of 64, zeros before
///     table    u64 number of entries, then the entries:
///              u32 kind (0 text, 1 number, 2 tensor), u32 length of the name, the name, then
///              text:   u64 length, bytes
///              number: i64
///              tensor: u32 length of the element type's name, the name, u32 rank, u64 per dimension,
///                      u64 offset, u64 size in bytes, u64 checksum
///
/// There is one way only to write a given content: nothing overlaps, nothing is left over, no byte is without
/// a check. The checksum (`checksum` below) finds accidents, not forgeries.

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <deque>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <snug/error.hpp>
#include <snug/io/file.hpp>
#include <snug/io/size.hpp>
#include <snug/random.hpp>

namespace snug::SNUG_TARGET::io {

static_assert(std::endian::native == std::endian::little, "snapshots are little-endian and used in place");

/// 64-bit checksum over 8-byte words, several GB/s on one core. Four lanes side by side, each a chain of
/// bijections of its state and of the word, so a change within one word is always found; any other change
/// slips through once in 2^64. The data comes in pieces of any size.
class checksum {
  public:
    void update(std::span<std::byte const> data) noexcept {
        size_ += data.size();
        if (held_ > 0) {
            auto const count = std::min(block - held_, data.size());
            std::memcpy(pending_.data() + held_, data.data(), count);
            held_ += count;
            data = data.subspan(count);
            if (held_ < block) return;
            mix(lanes_, pending_);
            held_ = 0;
        }
        auto const whole = data.size() / block * block;
        mix(lanes_, data.first(whole));
        held_ = data.size() - whole;
        if (held_ > 0) std::memcpy(pending_.data(), data.data() + whole, held_);
    }

    std::uint64_t value() const noexcept {
        auto lanes = lanes_;
        for (std::size_t at = 0; at < held_; at += 8)
            step(lanes[at / 8], pending_.data() + at, std::min<std::size_t>(held_ - at, 8));
        auto result = random::mix(size_ + 1);
        for (auto const lane : lanes) result = random::mix(result ^ lane);
        return result;
    }

    static std::uint64_t of(std::span<std::byte const> data) noexcept {
        checksum sum;
        sum.update(data);
        return sum.value();
    }

  private:
    static constexpr std::size_t block = 32;

    static void step(std::uint64_t& lane, std::byte const* from, std::size_t length) noexcept {
        std::uint64_t word = 0;
        std::memcpy(&word, from, length);
        lane = (std::rotl(lane, 23) ^ word) * 0x9e3779b97f4a7c15u;
    }
    static void mix(std::array<std::uint64_t, 4>& all, std::span<std::byte const> blocks) noexcept {
        auto lanes = all;
        for (auto const* from = blocks.data(); from != blocks.data() + blocks.size(); from += block)
            for (std::size_t lane = 0; lane < 4; ++lane) step(lanes[lane], from + 8 * lane, 8);
        all = lanes;
    }

    std::uint64_t size_ = 0;
    std::array<std::uint64_t, 4> lanes_{random::mix(1), random::mix(2), random::mix(3), random::mix(4)};
    std::array<std::byte, block> pending_{};  ///< of a block that is not whole yet
    std::size_t held_ = 0;
};

namespace detail {

inline constexpr std::string_view snapshot_magic{"snug-snapshot\n\0\0", 16};
inline constexpr std::uint32_t snapshot_version = 1;
inline constexpr std::size_t snapshot_header = 64;
inline constexpr std::size_t snapshot_alignment = 64;
/// Payloads are checked and written in pieces that stay in the cache between the two.
inline constexpr std::size_t snapshot_piece = std::size_t{1} << 18;

/// Far more than a trainer has; they are read, sorted and checked in a second.
inline constexpr std::uint64_t most_snapshot_entries = std::uint64_t{1} << 20;
inline constexpr std::uint32_t most_snapshot_dimensions = 64;

enum class entry_kind : std::uint32_t { text, number, tensor };

/// Bytes of one element; 0 for a type of the user's, whose size in memory only he knows.
constexpr std::int64_t element_bytes(std::string_view dtype) noexcept {
    if (dtype == "fp64" || dtype == "int64" || dtype == "uint64") return 8;
    if (dtype == "fp32" || dtype == "int32" || dtype == "uint32") return 4;
    if (dtype == "fp16" || dtype == "bf16" || dtype == "int16" || dtype == "uint16") return 2;
    if (dtype == "fp8_e4m3" || dtype == "fp8_e5m2" || dtype == "int8" || dtype == "uint8") return 1;
    return 0;
}

inline std::string shape_text(std::string_view dtype, std::span<std::int64_t const> dims) {
    constexpr std::size_t most = 8;
    std::string text = printable(dtype) + " [";
    for (std::size_t i = 0; i < std::min(most, dims.size()); ++i)
        text += (i ? ", " : "") + std::to_string(dims[i]);
    return text + (dims.size() > most ? ", ...]" : "]");
}

/// Refuses a payload whose size does not follow from type and dimensions.
inline void check_tensor_size(place const& at, std::string_view dtype, std::span<std::int64_t const> dims,
                              checked bytes) {
    checked count(1, at);
    for (auto const dim : dims) count *= checked(dim, at);
    auto const element = element_bytes(dtype);
    if (element != 0 && bytes != count * element)
        throw error(at, std::to_string(bytes.value()) + " bytes for " + shape_text(dtype, dims),
                    std::to_string((count * element).value()) + " bytes");
}

template <class T>
void append(std::string& to, T value) {
    char raw[sizeof(T)];
    std::memcpy(raw, &value, sizeof(T));
    to.append(raw, sizeof(T));
}

/// Reads the table of contents front to back; never beyond its end.
class cursor {
  public:
    cursor(std::string file, std::span<std::byte const> table, std::int64_t base)
        : file_(std::move(file)), table_(table), base_(base) {}

    std::int64_t offset() const noexcept { return base_ + static_cast<std::int64_t>(at_); }
    bool at_end() const noexcept { return at_ == table_.size(); }

    std::span<std::byte const> take(checked count) {
        if (count > table_.size() - at_)
            throw error({file_, offset()}, "a table of contents that ends",
                        std::to_string(count.value()) + " more bytes");
        auto const result = table_.subspan(at_, count.narrow<std::size_t>());
        at_ += result.size();
        return result;
    }
    template <class T>
    T take() {
        T value;
        std::memcpy(&value, take(sizeof(T)).data(), sizeof(T));
        return value;
    }
    std::string_view take_text(checked count) {
        auto const raw = take(count);
        return {reinterpret_cast<char const*>(raw.data()), raw.size()};
    }

  private:
    std::string file_;
    std::span<std::byte const> table_;
    std::int64_t base_;
    std::size_t at_ = 0;
};

}  // namespace detail

/// Writes a snapshot beside `path` and puts it in place with `commit()`; see `output_file` for what a failure
/// or a kill leaves. A key or name is given once.
class snapshot_writer {
  public:
    explicit snapshot_writer(std::string path) : file_(std::move(path)) {
        std::array<std::byte, detail::snapshot_header> const nothing_yet{};
        file_.write(nothing_yet);
    }

    void text(std::string_view key, std::string_view value) {
        auto entry = begin(detail::entry_kind::text, key);
        detail::append(entry, static_cast<std::uint64_t>(value.size()));
        add(entry.append(value));
    }

    void number(std::string_view key, std::int64_t value) {
        auto entry = begin(detail::entry_kind::number, key);
        detail::append(entry, value);
        add(entry);
    }

    /// Writes `bytes` bytes straight from `data`, without a copy. `dtype` is the name of the element type
    /// ("fp32", "bf16", ...); for those known here `bytes` must follow from `dims`.
    void tensor(std::string_view name, std::string_view dtype, std::vector<std::int64_t> const& dims,
                void const* data, std::int64_t bytes) {
        begin_tensor(name, dtype, dims, bytes);
        append({static_cast<std::byte const*>(data), checked(bytes).narrow<std::size_t>()});
        end_tensor();
    }

    /// The same in parts: its bytes follow, in order.
    void begin_tensor(std::string_view name, std::string_view dtype, std::vector<std::int64_t> const& dims,
                      std::int64_t bytes) {
        place const at{file_.path(), -1, std::string(name)};
        if (dims.size() > detail::most_snapshot_dimensions)
            throw error(at, std::to_string(dims.size()) + " dimensions",
                        "at most " + std::to_string(detail::most_snapshot_dimensions));
        detail::check_tensor_size(at, dtype, dims, bytes);
        tensor_ = begin(detail::entry_kind::tensor, name);
        pad();
        detail::append(tensor_, checked(dtype.size()).narrow<std::uint32_t>());
        tensor_ += dtype;
        detail::append(tensor_, checked(dims.size()).narrow<std::uint32_t>());
        for (auto const dim : dims) detail::append(tensor_, static_cast<std::uint64_t>(dim));
        detail::append(tensor_, file_.size().value());
        detail::append(tensor_, static_cast<std::uint64_t>(bytes));
        sum_ = {};
    }
    void append(std::span<std::byte const> payload) {
        while (!payload.empty()) {
            auto const piece = payload.first(std::min(payload.size(), detail::snapshot_piece));
            sum_.update(piece);
            file_.write(piece);
            payload = payload.subspan(piece.size());
        }
    }
    void end_tensor() {
        detail::append(tensor_, sum_.value());
        add(tensor_);
    }

    /// Finishes the file, syncs it and renames it over the target.
    void commit() {
        pad();
        auto const offset = file_.size();
        table_.insert(0, reinterpret_cast<char const*>(&entries_), sizeof entries_);
        file_.write(table_);

        std::string header(detail::snapshot_magic);
        detail::append(header, detail::snapshot_version);
        detail::append(header, std::uint32_t{0});
        detail::append(header, file_.size().value());
        detail::append(header, offset.value());
        detail::append(header, static_cast<std::uint64_t>(table_.size()));
        detail::append(header, checksum::of(std::as_bytes(std::span(table_))));
        detail::append(header, checksum::of(std::as_bytes(std::span(header))));
        file_.write_at(0, std::as_bytes(std::span(header)));
        file_.commit();
    }

  private:
    std::string begin(detail::entry_kind kind, std::string_view name) {
        if (entries_ == detail::most_snapshot_entries)
            throw error({file_.path()}, "more than " + std::to_string(entries_) + " entries",
                        "at most that many");
        if (name.empty() || !names_.emplace(name).second)
            throw error({file_.path()}, "the name " + printable(name),
                        "a name that is not empty and was not used yet");
        std::string entry;
        detail::append(entry, kind);
        detail::append(entry, checked(name.size()).narrow<std::uint32_t>());
        return entry.append(name);
    }

    void add(std::string const& entry) {
        table_ += entry;
        ++entries_;
    }

    void pad() {
        std::array<std::byte, detail::snapshot_alignment> const zeros{};
        auto const gap = file_.size().rounded_up(detail::snapshot_alignment) - file_.size();
        file_.write(std::span(zeros).first(gap.narrow<std::size_t>()));
    }

    output_file file_;
    std::string tensor_;  ///< the entry of the one that is being written
    checksum sum_{};      ///< of its bytes so far
    std::set<std::string, std::less<>> names_;
    std::uint64_t entries_ = 0;
    std::string table_;
};

/// What a trainer expects of one tensor of a snapshot.
struct tensor_shape {
    std::string name;
    std::string dtype;
    std::vector<std::int64_t> dims;
    std::int64_t bytes = 0;
};

/// One tensor of a snapshot: its shape, and its bytes in the mapped file.
struct snapshot_tensor {
    std::string dtype;
    std::vector<std::int64_t> dims;
    std::span<std::byte const> bytes;
    std::int64_t offset = 0;  ///< in the file, for messages
};

/// Opens a snapshot. The constructor checks every byte of the file, so what is handed out later is whole;
/// copy only after everything wanted was found. Spans stay valid as long as the reader.
class snapshot_reader {
  public:
    /// Throws when the file is missing, not a snapshot, of another version, cut short, too long or damaged.
    explicit snapshot_reader(std::string path) : file_(std::move(path)) {
        check_header();
        read_table();
        check_payloads();
    }

    std::string const& path() const noexcept { return file_.path(); }

    /// The checksum of the header, in which there is that of the table, in which there are those of the tensors: equal
    /// for files of equal content.
    std::uint64_t fingerprint() const { return field<std::uint64_t>(56); }

    bool has(std::string_view name) const { return find(name) != nullptr; }

    /// The text of that key, in the mapped file. Throws when there is none.
    std::string_view text(std::string_view key) const {
        auto const at = find(key, detail::entry_kind::text).at;
        auto const length = field<std::uint64_t>(at);
        auto const raw = file_.bytes(checked(at) + sizeof length, length);
        return {reinterpret_cast<char const*>(raw.data()), raw.size()};
    }

    /// The number of that key. Throws when there is none.
    std::int64_t number(std::string_view key) const {
        return field<std::int64_t>(find(key, detail::entry_kind::number).at);
    }

    /// The number of that key, from `least` to `most`. Throws when there is none, and for any other number:
    /// right checksums do not make what a file says sensible.
    std::int64_t number(std::string_view name, std::int64_t least, std::int64_t most) const {
        auto const at = find(name, detail::entry_kind::number).at;
        auto const found = field<std::int64_t>(at);
        if (found < least || found > most)
            throw error({path(), static_cast<std::int64_t>(at)},
                        "the number " + std::to_string(found) + " for " + printable(name),
                        "one from " + std::to_string(least) + " to " + std::to_string(most));
        return found;
    }

    /// The tensor of that name, whatever its shape. Throws when there is none.
    snapshot_tensor const& tensor(std::string_view name) const {
        return tensors_[find(name, detail::entry_kind::tensor).at].tensor;
    }

    /// The tensor that `expected` describes. Throws when there is none or its type, dimensions or size
    /// differ.
    snapshot_tensor const& tensor(tensor_shape const& expected) const {
        auto const& found = tensor(expected.name);
        if (found.dtype != expected.dtype || found.dims != expected.dims)
            throw error({path(), found.offset, expected.name}, detail::shape_text(found.dtype, found.dims),
                        detail::shape_text(expected.dtype, expected.dims));
        if (checked(expected.bytes) != found.bytes.size())
            throw error({path(), found.offset, expected.name}, std::to_string(found.bytes.size()) + " bytes",
                        std::to_string(expected.bytes) + " bytes");
        return found;
    }

    /// Throws unless the snapshot holds exactly these tensors: none missing, none more, each as described.
    void require(std::span<tensor_shape const> expected) const {
        std::set<std::string_view> wanted;
        for (auto const& one : expected) {
            (void)tensor(one);
            wanted.insert(one.name);
        }
        for (auto const& held : entries_)
            if (held.kind == detail::entry_kind::tensor && !wanted.contains(held.name))
                throw error({path(), tensors_[held.at].tensor.offset, printable(held.name)},
                            "a tensor that is not wanted",
                            "only the " + std::to_string(wanted.size()) + " tensors that are");
    }

    /// Takes the file's pages out of this process's resident memory, after copying.
    void forget() const noexcept { file_.forget(); }

  private:
    /// What is found by its name; small, as a hostile file may have many.
    struct entry {
        std::string_view name;  ///< in the mapped file
        std::uint64_t at = 0;   ///< of a tensor, its number; else the byte of the file where the value begins
        detail::entry_kind kind = {};
    };
    struct checked_tensor {
        snapshot_tensor tensor = {};
        std::uint64_t sum = 0;
    };

    template <class T>
    T field(std::uint64_t offset) const {
        T value;
        std::memcpy(&value, file_.bytes(offset, sizeof(T)).data(), sizeof(T));
        return value;
    }

    [[noreturn]] void refuse(std::int64_t offset, std::string found, std::string expected) const {
        throw error({path(), offset}, std::move(found), std::move(expected));
    }

    void check_header() const {
        auto const magic = detail::snapshot_magic;
        if (file_.size() < magic.size() || std::memcmp(file_.bytes().data(), magic.data(), magic.size()) != 0)
            refuse(0, "a file without the magic of a snapshot", "a snapshot written by snug");
        if (file_.size() < detail::snapshot_header)
            refuse(file_.size().index(), "the end of the file", "a header of 64 bytes");
        if (auto const version = field<std::uint32_t>(16); version != detail::snapshot_version)
            refuse(16, "version " + std::to_string(version),
                   "version " + std::to_string(detail::snapshot_version));
        if (checksum::of(file_.bytes(0, 56)) != field<std::uint64_t>(56))
            refuse(56, "a damaged header (its checksum differs)", "an undamaged snapshot");
        if (field<std::uint32_t>(20) != 0) refuse(20, "a reserved field in use", "zero");
        if (auto const size = field<std::uint64_t>(24); size != file_.size())
            refuse(24, "a file of " + std::to_string(file_.size().value()) + " bytes",
                   "the " + std::to_string(size) + " bytes that its header states");
        place const at{path(), 32};
        checked const offset(field<std::uint64_t>(32), at), size(field<std::uint64_t>(40), at);
        if (offset < detail::snapshot_header || offset % detail::snapshot_alignment != 0 ||
            offset + size != file_.size())
            refuse(32,
                   "a table of contents of " + std::to_string(size.value()) + " bytes from byte " +
                       std::to_string(offset.value()),
                   "one that begins at a multiple of 64 and ends the file");
        if (checksum::of(file_.bytes(offset, size)) != field<std::uint64_t>(48))
            refuse(offset.index(), "a damaged table of contents (its checksum differs)",
                   "an undamaged snapshot");
    }

    void read_table() {
        place at{path(), 32};
        auto const begin = checked(field<std::uint64_t>(32), at);
        auto const table = file_.bytes(begin, field<std::uint64_t>(40));
        detail::cursor from(path(), table, begin.index());
        auto const count = from.take<std::uint64_t>();
        constexpr std::size_t least_entry = 4 + 4 + 1 + 8;
        if (count > table.size() / least_entry)
            refuse(
                begin.index(), std::to_string(count) + " entries",
                "at most the " + std::to_string(table.size() / least_entry) + " that the table has room for");
        if (count > detail::most_snapshot_entries)
            refuse(begin.index(), std::to_string(count) + " entries",
                   "at most " + std::to_string(detail::most_snapshot_entries));
        entries_.reserve(count);
        checked end = detail::snapshot_header;
        for (std::uint64_t i = 0; i < count; ++i) {
            at.offset = from.offset();
            auto const kind = from.take<std::uint32_t>();
            entry read{from.take_text(from.take<std::uint32_t>()), 0, static_cast<detail::entry_kind>(kind)};
            if (read.name.empty()) refuse_name(read);
            read.at = checked(from.offset()).value();
            if (read.kind == detail::entry_kind::text) {
                (void)from.take(from.take<std::uint64_t>());
            } else if (read.kind == detail::entry_kind::number) {
                (void)from.take<std::int64_t>();
            } else if (read.kind == detail::entry_kind::tensor) {
                read.at = tensors_.size();
                end = read_tensor(from, at, printable(read.name), end, tensors_.emplace_back());
            } else {
                refuse(at.offset, "an entry of kind " + std::to_string(kind),
                       "text, number or tensor (0, 1, 2)");
            }
            entries_.push_back(read);
        }
        std::ranges::sort(entries_, {},
                          [](entry const& one) { return std::pair(one.name, one.name.data()); });
        auto const again = std::ranges::adjacent_find(entries_, {}, &entry::name);
        if (again != entries_.end()) refuse_name(again[1]);
        if (!from.at_end()) refuse(from.offset(), "bytes after the last entry", "the end of the file");
        if (end.rounded_up(detail::snapshot_alignment) != begin)
            refuse(begin.index(), "the table of contents",
                   "it at byte " + std::to_string(end.rounded_up(detail::snapshot_alignment).value()) +
                       ", right after the tensors");
        check_zeros(end, begin);
    }

    [[noreturn]] void refuse_name(entry const& held) const {
        constexpr std::int64_t before = 2 * sizeof(std::uint32_t);  // kind and length of the name
        auto const* const begin = reinterpret_cast<char const*>(file_.bytes().data());
        refuse(held.name.data() - begin - before, "the name " + printable(held.name),
               "a name that is not empty and was not used yet");
    }

    /// Reads what the table says of a tensor that has to begin right after byte `end`; returns where it ends.
    checked read_tensor(detail::cursor& from, place const& entry_at, std::string const& name, checked end,
                        checked_tensor& read) const {
        place const at{entry_at.file, entry_at.offset, name};
        auto& tensor = read.tensor;
        tensor.dtype = from.take_text(from.take<std::uint32_t>());
        auto const rank = from.take<std::uint32_t>();
        if (rank > detail::most_snapshot_dimensions)
            throw error(at, std::to_string(rank) + " dimensions",
                        "at most " + std::to_string(detail::most_snapshot_dimensions));
        auto const dims = from.take(checked(rank) * sizeof(std::uint64_t));
        tensor.dims.reserve(rank);
        for (std::size_t i = 0; i < dims.size(); i += sizeof(std::uint64_t)) {
            std::uint64_t dim;
            std::memcpy(&dim, dims.data() + i, sizeof dim);
            tensor.dims.push_back(checked(dim, at).index());
        }
        checked const offset(from.take<std::uint64_t>(), at), size(from.take<std::uint64_t>(), at);
        read.sum = from.take<std::uint64_t>();
        detail::check_tensor_size(at, tensor.dtype, tensor.dims, size);
        auto const expected = end.rounded_up(detail::snapshot_alignment);
        if (offset != expected)
            throw error(at, "a payload at byte " + std::to_string(offset.value()),
                        "byte " + std::to_string(expected.value()) + ", right after the one before");
        if (offset + size > field<std::uint64_t>(32))
            throw error(at, "a payload up to byte " + std::to_string((offset + size).value()),
                        "its end before the table of contents");
        check_zeros(end, offset);
        tensor.offset = offset.index();
        tensor.bytes = file_.bytes(offset, size);
        return (offset + size).value();  // without the place, which ends here
    }

    void check_zeros(checked begin, checked end) const {
        for (auto const byte : file_.bytes(begin, end - begin))
            if (byte != std::byte{0}) refuse(begin.index(), "bytes in a gap", "zeros between the tensors");
    }

    void check_payloads() const {
        for (auto const& one : entries_) {
            if (one.kind != detail::entry_kind::tensor) continue;
            auto const& held = tensors_[one.at];
            checksum sum;
            for (auto rest = held.tensor.bytes; !rest.empty();) {
                auto const piece = rest.first(std::min(rest.size(), detail::snapshot_piece));
                sum.update(piece);
                rest = rest.subspan(piece.size());
                if (rest.size() / detail::snapshot_piece % 32 == 0) file_.forget();
            }
            if (sum.value() != held.sum)
                throw error({path(), held.tensor.offset, printable(one.name)},
                            "damaged data (its checksum differs)", "an undamaged snapshot");
        }
    }

    entry const* find(std::string_view name) const {
        auto const found = std::ranges::lower_bound(entries_, name, {}, &entry::name);
        return found != entries_.end() && found->name == name ? &*found : nullptr;
    }
    entry const& find(std::string_view name, detail::entry_kind kind) const {
        constexpr char const* kinds[] = {"text", "number", "tensor"};
        std::string const wanted = kinds[static_cast<std::size_t>(kind)];
        auto const in_tensor = kind == detail::entry_kind::tensor ? std::string(name) : "";
        auto const* const found = find(name);
        if (found == nullptr)
            throw error({path(), -1, in_tensor}, "no entry " + printable(name),
                        "a " + wanted + " of that name");
        if (found->kind != kind)
            throw error(
                {path(), -1, in_tensor},
                "the " + std::string(kinds[static_cast<std::size_t>(found->kind)]) + " " + printable(name),
                "a " + wanted);
        return *found;
    }

    mapping file_;
    std::vector<entry> entries_;          ///< by name
    std::deque<checked_tensor> tensors_;  ///< in the order of the file
};

}  // namespace snug::SNUG_TARGET::io
