// SPDX-License-Identifier: Apache-2.0
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <span>
#include <vector>

#include <snug/error.hpp>
#include <snug/io/snapshot.hpp>

#include "memory_file.hpp"

/// Any file is refused as a snapshot, or is one whole. Its checksums are put right first: they would stop every change.
extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
    std::vector<std::uint8_t> content(data, data + size);
    auto const bytes = std::as_bytes(std::span(content));
    std::uint64_t offset = 0, length = 0;
    if (size >= 64) {
        std::memcpy(&offset, &content[32], 8);
        std::memcpy(&length, &content[40], 8);
        auto const put = [&](std::size_t at, std::uint64_t sum) { std::memcpy(&content[at], &sum, 8); };
        if (offset <= size && length <= size - offset)
            put(48, snug::io::checksum::of(bytes.subspan(offset, length)));
        put(56, snug::io::checksum::of(bytes.first(56)));
    }
    try {
        snug::io::snapshot_reader const file(fuzz::memory_file(content));
        if (file.has("n")) (void)file.number("n", -1, 1);
        if (file.has("t")) (void)file.text("t");
        if (file.has("w")) (void)file.tensor("w");
    } catch (snug::error const&) {
    }
    return 0;
}
