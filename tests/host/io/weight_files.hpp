// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <catch2/catch.hpp>

#include <cstdint>
#include <cstring>
#include <ctime>
#include <string>
#include <vector>

#include <snug/error.hpp>

#include "faults.hpp"

/// What tests of weight files share: files made byte by byte, and the check that a hostile one is refused.
namespace test {

inline std::string const weights = SNUG_TEST_DATA "/weights/";

template <class T>
std::string raw(T value) {
    std::string bytes(sizeof(T), '\0');
    std::memcpy(bytes.data(), &value, sizeof(T));
    return bytes;
}
inline std::string u32(std::uint32_t value) { return raw(value); }
inline std::string u64(std::uint64_t value) { return raw(value); }
inline std::string zeros(std::size_t count) { return std::string(count, '\0'); }

inline std::string safetensors_file(std::string const& header, std::string const& data = {}) {
    return u64(header.size()) + header + data;
}

/// Parts of a GGUF file.
namespace gguf {

inline std::string text(std::string const& value) { return u64(value.size()) + value; }
inline std::string entry(std::string const& key, std::uint32_t type, std::string const& value) {
    return text(key) + u32(type) + value;
}
inline std::string array(std::string const& key, std::uint32_t type, std::uint64_t count,
                         std::string const& values) {
    return entry(key, 9, u32(type) + u64(count) + values);
}
inline std::string tensor(std::string const& name, std::vector<std::uint64_t> const& dimensions,
                          std::uint32_t type, std::uint64_t offset) {
    auto result = text(name) + u32(static_cast<std::uint32_t>(dimensions.size()));
    for (auto const dimension : dimensions) result += u64(dimension);
    return result + u32(type) + u64(offset);
}
inline std::string header(std::uint64_t tensors, std::uint64_t entries, std::uint32_t version = 3) {
    return "GGUF" + u32(version) + u64(tensors) + u64(entries);
}
/// A whole file; `data` begins at the next multiple of `alignment`.
inline std::string file(std::vector<std::string> const& entries, std::vector<std::string> const& tensors,
                        std::string const& data = {}, std::size_t alignment = 32) {
    auto result = header(tensors.size(), entries.size());
    for (auto const& one : entries) result += one;
    for (auto const& one : tensors) result += one;
    if (!data.empty()) result.resize((result.size() + alignment - 1) / alignment * alignment, '\0');
    return result + data;
}

}  // namespace gguf

/// Seconds of this process's processor time that a refusal may take. Of clang++'s sanitizers no macro tells.
#if defined(__SANITIZE_ADDRESS__) || !defined(__OPTIMIZE__) || defined(__clang__)
inline constexpr double soon = 10;
#else
inline constexpr double soon = 1;
#endif

/// `open(path)` of a file of that content is refused within a second, with the file, a place in it, and these
/// words.
template <class Open>
void check_refused(std::string const& content, std::string const& words, Open open) {
    scratch folder;
    auto const path = folder / "hostile";
    write_file(path, content);
    CAPTURE(words);
    auto const start = std::clock();
    try {
        open(path);
        FAIL_CHECK("not refused");
    } catch (snug::error const& refused) {
        CHECK_THAT(refused.what(), Catch::Matchers::Contains(words));
        CHECK(refused.where().file == path);
        CHECK((refused.where().offset >= 0 || !refused.where().tensor.empty()));
        CHECK(std::string(refused.what()).size() < 1000);
    }
    CHECK(static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC < soon);
}

/// `use(path)` of a file that is cut short at any byte, or has any byte changed, is refused or succeeds. Gives how
/// many of the shortened files were refused.
template <class Use>
std::size_t check_damaged(std::string const& content, std::size_t changed_up_to, Use use) {
    scratch folder;
    auto const path = folder / "damaged";
    std::size_t refused = 0;
    for (std::size_t size = 0; size < content.size(); ++size) {
        write_file(path, content.substr(0, size));
        refused += !refusal([&] { use(path); }).empty();
    }
    for (std::size_t at = 0; at < changed_up_to; ++at)
        for (auto const change : {'\x01', '\x80', '\xff'}) {
            auto changed = content;
            changed[at] = static_cast<char>(changed[at] ^ change);
            write_file(path, changed);
            (void)refusal([&] { use(path); });
        }
    return refused;
}

}  // namespace test
