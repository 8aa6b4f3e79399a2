// SPDX-License-Identifier: Apache-2.0

// An input is a tokenizer.json, a zero byte and a text for it; or, without a zero byte, a text that must come back from a
// tokenizer that has all bytes.

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

#include <snug/data/tokenizer.hpp>
#include <snug/error.hpp>

#include "memory_file.hpp"

namespace {
using snug::io::tokenizer;

tokenizer read(std::string_view json) {
    auto const* const bytes = reinterpret_cast<std::uint8_t const*>(json.data());
    return tokenizer::from_json(fuzz::memory_file({bytes, json.size()}));
}

tokenizer bytes() {
    std::string vocabulary;
    // The letters of bytes: 94 of ASCII, 12 + 82 of Latin-1, 68 from U+0100 on.
    int id = 0;
    auto const add = [&](unsigned first, unsigned last) {
        for (auto point = first; point <= last; ++point) {
            char entry[32];
            std::snprintf(entry, sizeof entry, "\"\\u%04x\": %d, ", point, id++);
            vocabulary += entry;
        }
    };
    add(0x21, 0x7e), add(0xa1, 0xac), add(0xae, 0xff), add(0x100, 0x143);
    return read(
        R"({"added_tokens": [{"id": 258, "content": "<s>", "special": true}], "pre_tokenizer": {"type": "Sequence",)"
        R"("pretokenizers": [{"type": "Digits"}, {"type": "ByteLevel", "add_prefix_space": false}]},)"
        R"("model": {"vocab": {)" +
        vocabulary + R"("aa": 256, "aaaa": 257}, "merges": ["a a", "aa aa"]}})");
}
}  // namespace

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
    std::string_view const input(reinterpret_cast<char const*>(data), size);
    auto const zero = input.find('\0');
    if (zero == input.npos) {
        static auto const all = bytes();
        if (all.decode(all.encode(input)) != input) std::abort();
        return 0;
    }
    try {
        auto const found = read(input.substr(0, zero));
        auto const text = input.substr(zero + 1);
        for (auto const special :
             {snug::io::special_tokens::recognised, snug::io::special_tokens::plain_text})
            (void)found.decode(found.encode(text, special));
    } catch (snug::error const&) {
    }
    return 0;
}
