// SPDX-License-Identifier: Apache-2.0
#pragma once

/// \file
/// Reader and writer of safetensors, the weight files of Hugging Face (the format's README).
///
/// Layout: u64 size of the header; the header, a JSON object that may have blanks around it:
/// `{"name": {"dtype": "F32", "shape": [2, 3], "data_offsets": [begin, end]}, ...}`, with texts by name under
/// `__metadata__` (or null); then the data, which the offsets count in, without holes or overlaps. A model in several
/// files (shards) has an index beside them, `{"weight_map": {"name": "file", ...}}`.
///
/// Keys that are there twice are what they are to the library `safetensors` (0.8): of tensors of one name, and of
/// texts of one key, all must be well formed and the last one counts; any other key twice is refused.

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <map>
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
#include <snug/io/json.hpp>
#include <snug/io/size.hpp>
#include <snug/meta.hpp>

namespace snug::SNUG_TARGET::io {

namespace detail {

/// The format allows 10^8 bytes; a million bytes of header describe some 8000 tensors.
inline constexpr std::int64_t longest_safetensors_header = std::int64_t{1} << 25;
inline constexpr std::size_t most_texts_beside_tensors = std::size_t{1} << 16;
inline constexpr std::string_view safetensors_metadata = "__metadata__";

/// The safetensors type of that name, if there is one.
constexpr std::optional<tensor_type> safetensors_type(std::string_view name) noexcept {
    for (auto type = tensor_type{}; is_safetensors(type);
         type = static_cast<tensor_type>(static_cast<int>(type) + 1))
        if (name_of(type) == name) return type;
    return std::nullopt;
}

}  // namespace detail

/// The tensors of a safetensors file or of a model in shards, mapped. The constructor checks the whole
/// structure; what is handed out later are views into the mapping, valid as long as the reader. Moving the
/// reader keeps them valid.
class safetensors {
  public:
    /// `path` is a file, the index of a model in shards (`*.json`), or a folder with `model.safetensors` or
    /// `model.safetensors.index.json`. Throws when a file is missing, cut short, or contradicts itself or the
    /// index.
    explicit safetensors(std::string path) : path_(std::move(path)) {
        if (is_folder(path_)) path_ = weights_in(path_);
        std::vector<file_tensor> tensors;
        if (path_.ends_with(".json")) read_shards(tensors);
        else read_file(path_, tensors);
        tensors_ = detail::tensor_list(std::move(tensors));
    }

    /// The file, or the index.
    std::string const& path() const noexcept { return path_; }

    bool has(std::string_view name) const noexcept { return tensors_.find(name) != nullptr; }
    /// Throws when there is no tensor of that name.
    file_tensor const& tensor(std::string_view name) const { return tensors_.at(path_, name); }
    /// In the order of the data, file by file.
    std::vector<file_tensor> const& tensors() const& noexcept { return tensors_.all(); }
    std::vector<file_tensor> const& tensors() const&& = delete;  // they would end with the file

    /// Texts that the files carry beside the tensors, such as "format": "pt".
    std::map<std::string, std::string, std::less<>> const& metadata() const noexcept { return metadata_; }

    /// Takes the files' pages out of this process's resident memory, after copying.
    void forget() const noexcept {
        for (auto const& file : files_) file.forget();
    }

  private:
    static std::string weights_in(std::string const& folder) {
        for (auto const* name : {"model.safetensors", "model.safetensors.index.json"}) {
            struct ::stat status {};
            auto path = in_folder(folder, name);
            if (detail::uninterrupted([&] { return calls().stat(path.c_str(), &status); }) == 0) return path;
        }
        throw error({folder}, "a folder without weights",
                    "model.safetensors or model.safetensors.index.json");
    }

    void read_shards(std::vector<file_tensor>& tensors) {
        json_document const index(path_, detail::longest_safetensors_header);
        auto const& weight_map = index.root().at("weight_map");
        detail::check_tensor_count(weight_map.where(), weight_map.members().size());
        auto const folder = path_.substr(0, path_.rfind('/') + 1);               // npos + 1 is 0
        std::map<std::string_view, std::pair<std::size_t, std::size_t>> shards;  // first and last tensor
        for (auto const& [name, file] : weight_map.members()) {
            check_shard_name(file);
            shards.try_emplace(file.text());
        }
        for (auto& [file, range] : shards) {
            range.first = tensors.size();
            read_file(folder + std::string(file), tensors);
            range.second = tensors.size();
        }
        for (auto const& [file, range] : shards)
            for (auto i = range.first; i < range.second; ++i) {
                auto const* const listed = weight_map.find(tensors[i].name);
                if (listed == nullptr || listed->text() != file)
                    throw error(tensors[i].where(),
                                listed == nullptr
                                    ? "a tensor that the index does not list"
                                    : "a tensor that the index lists in " + printable(listed->text()),
                                "the same tensors in the index and in the file");
            }
        // All that is there is listed, each in one file: what is listed and not there shows in the number.
        if (tensors.size() < weight_map.members().size()) refuse_missing(weight_map, tensors);
    }

    static void check_shard_name(json const& file) {
        auto const& name = file.text();
        auto const plain = name.find_first_of(std::string_view("/\\\0", 3)) == name.npos;
        if (!plain || !name.ends_with(".safetensors") || name.starts_with(".."))
            file.refuse("the file name " + printable(name),
                        "the name of a .safetensors file beside the index");
    }

    static void refuse_missing(json const& weight_map, std::vector<file_tensor> const& tensors) {
        std::vector<std::string_view> there;
        there.reserve(tensors.size());
        for (auto const& tensor : tensors) there.push_back(tensor.name);
        std::ranges::sort(there);
        for (auto const& [name, file] : weight_map.members())
            if (!std::ranges::binary_search(there, std::string_view(name)))
                file.refuse("a tensor that is not in " + printable(file.text()),
                            "the same tensors in the index and in the file");
    }

    void read_file(std::string const& path, std::vector<file_tensor>& tensors) {
        auto const& file = files_.emplace_back(path);
        constexpr std::size_t prefix = sizeof(std::uint64_t);
        std::uint64_t stated;
        std::memcpy(&stated, file.bytes(0, prefix).data(), prefix);
        place const start{path, 0};
        if (stated > detail::longest_safetensors_header)
            throw error(start, "a header of " + std::to_string(stated) + " bytes",
                        "a safetensors file, whose header has at most " +
                            std::to_string(detail::longest_safetensors_header));
        if (prefix + stated > file.size())
            throw error(start, "a header of " + std::to_string(stated) + " bytes",
                        "one that fits the file of " + std::to_string(file.bytes().size()) + " bytes");
        auto const bytes = file.bytes(prefix, stated);
        std::string_view const text(reinterpret_cast<char const*>(bytes.data()), bytes.size());
        auto const first_sign = text.find_first_not_of(" \t\n\r");
        if (first_sign == text.npos || text[first_sign] != '{')
            throw error({path, static_cast<index_t>(prefix)}, "a header that does not begin with {",
                        "a safetensors file");
        json_document const header(text, path, prefix, repeated_keys::kept);

        auto const data = file.bytes().subspan(prefix + text.size());
        auto const first = tensors.size();
        auto const described = header.root().members();
        detail::check_tensor_count(start, first + described.size());
        tensors.reserve(first + described.size());
        for (std::size_t i = 0; i < described.size(); ++i) {
            auto const& [name, description] = described[i];
            bool const is_last = i + 1 == described.size() || described[i + 1].key != name;
            if (name == detail::safetensors_metadata) {
                if (!is_last) refuse_again(described[i + 1]);
                if (!description.is_null()) read_metadata(description);
                continue;
            }
            auto tensor = read_tensor(name, description);
            if (is_last) {
                find_bytes(tensor, description, data);
                tensors.push_back(std::move(tensor));
            }
        }
        auto const offset_of_data = static_cast<index_t>(prefix + text.size());
        auto const own = std::span(tensors).subspan(first);
        for (auto& tensor : own) tensor.offset = offset_of_data + (tensor.bytes.data() - data.data());
        check_ranges(path, own, offset_of_data, file.size());
    }

    [[noreturn]] static void refuse_again(json_member const& member) {
        throw error(member.value.where(), "the key " + printable(member.key) + " for the second time",
                    "that key once");
    }

    void read_metadata(json const& description) {
        auto const texts = description.members();
        if (texts.size() > detail::most_texts_beside_tensors)
            description.refuse(std::to_string(texts.size()) + " texts",
                               "at most " + std::to_string(detail::most_texts_beside_tensors));
        for (std::size_t i = 0; i < texts.size(); ++i) {
            auto const text = texts[i].value.text();
            if (i + 1 == texts.size() || texts[i + 1].key != texts[i].key)
                metadata_.emplace(texts[i].key, text);
        }
    }

    /// What the header says of a tensor, but for its bytes.
    static file_tensor read_tensor(std::string name, json const& description) {
        auto const keys = description.members();
        for (std::size_t i = 1; i < keys.size(); ++i)
            for (auto const* once : {"dtype", "shape", "data_offsets"})
                if (keys[i].key == once && keys[i - 1].key == once) refuse_again(keys[i]);
        auto const& dtype = description.at("dtype");
        auto const type = detail::safetensors_type(dtype.text());
        if (!type) dtype.refuse(dtype.what(), "a type of safetensors");
        auto const& offsets = description.at("data_offsets");
        if (offsets.elements().size() != 2)
            offsets.refuse("an array of " + std::to_string(offsets.elements().size()), "[begin, end]");
        (void)offsets.elements()[0].size();
        (void)offsets.elements()[1].size();

        file_tensor tensor;
        tensor.name = std::move(name);
        tensor.type = *type;
        auto const& shape = description.at("shape");
        detail::check_rank({shape.where().file, shape.offset(), printable(tensor.name)},
                           shape.elements().size());
        tensor.dimensions.reserve(shape.elements().size());
        for (auto const& dimension : shape.elements()) tensor.dimensions.push_back(dimension.size().index());
        return tensor;
    }

    static void find_bytes(file_tensor& tensor, json const& description, std::span<std::byte const> data) {
        auto at = description.where();
        tensor.file = at.file;
        at.tensor = printable(tensor.name);
        auto const expected = detail::tensor_bytes(at, tensor.type, tensor.dimensions);
        auto const& offsets = description.at("data_offsets");
        auto const begin = offsets.elements()[0].size();
        auto const end = offsets.elements()[1].size();
        auto const range = "bytes " + std::to_string(begin.value()) + " to " + std::to_string(end.value());
        if (begin > end || end > data.size())
            offsets.refuse(range, "a range of the " + std::to_string(data.size()) + " bytes of data");
        if (end - begin != expected)
            throw error({at.file, offsets.offset(), at.tensor}, range,
                        std::to_string(expected.value()) + " bytes for " + shape_text(tensor));
        tensor.bytes = data.subspan(begin.narrow<std::size_t>(), expected.narrow<std::size_t>());
    }

    /// Puts the tensors of a file in the order of their data, which must be all of it.
    static void check_ranges(std::string const& path, std::span<file_tensor> tensors, index_t begin,
                             checked file_size) {
        std::ranges::sort(tensors, {}, [](file_tensor const& tensor) {
            return std::tuple(tensor.offset, tensor.bytes.size(), std::string_view(tensor.name));
        });
        auto end = begin;
        for (auto const& tensor : tensors) {
            if (tensor.offset != end)
                throw error(tensor.where(),
                            tensor.offset < end ? "data that overlaps that of another tensor"
                                                : "a hole before the data",
                            "data from byte " + std::to_string(end) + " on");
            end += static_cast<index_t>(tensor.bytes.size());
        }
        if (file_size != end)
            throw error({path, end}, std::to_string((file_size - end).value()) + " bytes of no tensor",
                        "the end of the file");
    }

    std::string path_;
    std::vector<mapping> files_;
    std::map<std::string, std::string, std::less<>> metadata_;
    detail::tensor_list tensors_;
};

/// Writes a safetensors file, byte for byte as the Python library `safetensors` does: declare every tensor, then write
/// their bytes in the order of `tensors()`, in pieces of any size; `commit()` puts the file in place. See `output_file`
/// for what a failure or a kill leaves. No data is held in memory.
class safetensors_writer {
  public:
    using texts = std::map<std::string, std::string>;

    struct declared {
        std::string name;
        tensor_type type{};
        std::vector<index_t> dimensions;
        index_t bytes = 0;
    };

    explicit safetensors_writer(std::string path, texts metadata = {{"format", "pt"}})
        : file_(std::move(path)), metadata_(std::move(metadata)) {}

    /// Throws for a type that the format does not have, for a name that was declared before, and after the first
    /// bytes were written.
    void declare(std::string name, tensor_type type, std::vector<index_t> dimensions) {
        place const at{file_.path(), -1, printable(name)};
        if (begun_) throw error(at, "a tensor declared after the first bytes", "all declarations first");
        if (!detail::is_safetensors(type))
            throw error(at, "a tensor of type " + std::string(name_of(type)), "a type of safetensors");
        if (name == detail::safetensors_metadata) throw error(at, "that name", "any other");
        auto const bytes = detail::tensor_bytes(at, type, dimensions).index();
        tensors_.push_back({std::move(name), type, std::move(dimensions), bytes});
    }

    /// The order in which the bytes are to be written: by type, the widest first, then by name. Throws when two
    /// tensors have the same name.
    std::vector<declared> const& tensors() {
        begin();
        return tensors_;
    }

    /// Appends to the tensor of that name. Throws when it is not its turn, and for more bytes than it has.
    void write(std::string_view name, std::span<std::byte const> bytes) {
        begin();
        skip_finished();
        place const at{file_.path(), file_.size().index(), printable(name)};
        auto const found = std::to_string(bytes.size()) + " bytes for this tensor";
        if (next_ == tensors_.size() || tensors_[next_].name != name) {
            if (bytes.empty()) return;  // a tensor without elements
            throw error(at, found,
                        next_ == tensors_.size() ? "no more" : "those of " + printable(tensors_[next_].name));
        }
        if (checked(bytes.size()) > tensors_[next_].bytes - written_)
            throw error(at, found, "the last " + std::to_string(tensors_[next_].bytes - written_));
        file_.write(bytes);
        written_ += static_cast<index_t>(bytes.size());
    }

    /// Finishes the file, syncs it and renames it over the target. Throws when bytes are missing.
    void commit() {
        begin();
        skip_finished();
        if (next_ != tensors_.size())
            throw error({file_.path(), file_.size().index(), printable(tensors_[next_].name)},
                        std::to_string(written_) + " bytes for this tensor",
                        std::to_string(tensors_[next_].bytes));
        file_.commit();
    }

  private:
    /// Sorts what was declared and writes the header, once.
    void begin() {
        if (std::exchange(begun_, true)) return;
        std::ranges::sort(tensors_, [](declared const& a, declared const& b) {
            return a.type != b.type ? a.type > b.type : a.name < b.name;
        });
        std::string header = "{";
        auto const member = [&header](std::string_view key) {
            if (header.back() != '{') header += ',';
            header += json_quoted(key) + ':';
        };
        if (!metadata_.empty()) {
            member(detail::safetensors_metadata);
            header += '{';
            for (auto const& [key, value] : metadata_) {
                member(key);
                header += json_quoted(value);
            }
            header += '}';
        }
        std::vector<std::string_view> names;
        index_t offset = 0;
        for (auto const& tensor : tensors_) {
            names.push_back(tensor.name);
            member(tensor.name);
            header += "{\"dtype\":\"" + std::string(name_of(tensor.type)) + "\",\"shape\":[";
            for (std::size_t i = 0; i < tensor.dimensions.size(); ++i)
                header += (i ? "," : "") + std::to_string(tensor.dimensions[i]);
            header += "],\"data_offsets\":[" + std::to_string(offset) + ',';
            offset = (checked(offset) + tensor.bytes).index();
            header += std::to_string(offset) + "]}";
        }
        header += '}';
        std::ranges::sort(names);
        if (auto const again = std::ranges::adjacent_find(names); again != names.end())
            throw error({file_.path(), -1, printable(*again)}, "a tensor declared twice", "every name once");
        header.resize(checked(header.size()).rounded_up(8).narrow<std::size_t>(), ' ');
        if (checked(header.size()) > detail::longest_safetensors_header)
            throw error({file_.path()}, "a header of " + std::to_string(header.size()) + " bytes",
                        "at most " + std::to_string(detail::longest_safetensors_header));
        std::uint64_t const length = header.size();
        file_.write(std::as_bytes(std::span(&length, 1)));
        file_.write(header);
    }

    void skip_finished() noexcept {
        while (next_ < tensors_.size() && written_ == tensors_[next_].bytes) {
            ++next_;
            written_ = 0;
        }
    }

    output_file file_;
    texts metadata_;
    std::vector<declared> tensors_;
    bool begun_ = false;
    std::size_t next_ = 0;  ///< tensor whose bytes come next
    index_t written_ = 0;   ///< of it
};

}  // namespace snug::SNUG_TARGET::io
