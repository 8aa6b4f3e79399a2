// SPDX-License-Identifier: Apache-2.0
#pragma once

// Reads the *.fixture files of this folder; README.md says what is in them.

#include <bit>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <map>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace snug_test {

/// One tensor of a fixture, row-major. A double holds each of the stored types (f32, f64, i32, u8) exactly.
struct tensor {
    std::string dtype;
    std::vector<std::int64_t> dims;
    std::vector<double> values;
};

/// The tensors of a fixture file by name. Throws std::runtime_error, naming file and tensor, on a name that
/// is not there and on a file that is not exactly what its own header promises.
class fixture {
  public:
    explicit fixture(std::string const& path) : path_{path} {
        std::ifstream file{path, std::ios::binary};
        if (!file) refuse("cannot be opened");
        std::ostringstream text;
        text << file.rdbuf();
        read(text.str());
    }

    tensor const& operator[](std::string const& name) const {
        auto const found = tensors_.find(name);
        if (found == tensors_.end()) refuse("has no tensor " + name);
        return found->second;
    }

    std::map<std::string, tensor> const& tensors() const { return tensors_; }

  private:
    // Far above any fixture, and low enough that no product or byte count below can overflow.
    static constexpr std::int64_t most_elements = std::int64_t{1} << 28;

    [[noreturn]] void refuse(std::string const& why) const {
        throw std::runtime_error{"fixture " + path_ + " " + why};
    }

    std::int64_t number(std::string const& name, std::string_view word) const {
        std::int64_t value{};
        auto const [end, problem] = std::from_chars(word.data(), word.data() + word.size(), value);
        if (problem != std::errc{} || end != word.data() + word.size() || value < 1 || value > most_elements)
            refuse("says '" + std::string{word} + "' where a size of " + name + " was expected");
        return value;
    }

    template <class Stored>
    std::vector<double> take(std::string const& name, std::string_view& data, std::int64_t count) const {
        static_assert(std::endian::native == std::endian::little, "fixtures are little-endian");
        auto const size = static_cast<std::size_t>(count) * sizeof(Stored);
        if (data.size() < size) refuse("ends inside " + name);
        std::vector<double> values;
        values.reserve(static_cast<std::size_t>(count));
        for (std::size_t at = 0; at < size; at += sizeof(Stored)) {
            Stored value;
            std::memcpy(&value, data.data() + at, sizeof value);
            values.push_back(static_cast<double>(value));
        }
        data.remove_prefix(size);
        return values;
    }

    void read(std::string const& text) {
        auto const end = text.find("\n\n");
        if (end == std::string::npos) refuse("has no blank line after its header");
        std::string_view data{text};
        data.remove_prefix(end + 2);
        std::istringstream header{text.substr(0, end)};
        for (std::string line; std::getline(header, line);) {
            std::istringstream words{line};
            std::string name, dtype, count, dim;
            words >> name >> dtype >> count;
            tensor one{dtype, {}, {}};
            std::int64_t product = 1;
            while (words >> dim) {
                one.dims.push_back(number(name, dim));
                product *= one.dims.back();
                if (product > most_elements) refuse("makes " + name + " too large");
            }
            if (number(name, count) != product)
                refuse("gives " + name + " a count that its dimensions do not make");
            if (dtype == "f32") one.values = take<float>(name, data, product);
            else if (dtype == "f64") one.values = take<double>(name, data, product);
            else if (dtype == "i32") one.values = take<std::int32_t>(name, data, product);
            else if (dtype == "u8") one.values = take<std::uint8_t>(name, data, product);
            else refuse("gives " + name + " the unknown type '" + dtype + "'");
            if (!tensors_.emplace(name, std::move(one)).second) refuse("holds " + name + " twice");
        }
        if (tensors_.empty()) refuse("holds no tensor");
        if (!data.empty()) refuse("has " + std::to_string(data.size()) + " bytes after its last tensor");
    }

    std::string path_;
    std::map<std::string, tensor> tensors_;
};

}  // namespace snug_test
