// SPDX-License-Identifier: Apache-2.0
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <span>
#include <vector>

#include <snug/data/tokens.hpp>
#include <snug/error.hpp>

#include "memory_file.hpp"

/// Any file is refused as tokens, or holds only tokens of the vocabulary. The first byte says how it is read.
extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
    if (size == 0) return 0;
    using snug::io::format;
    constexpr std::int64_t vocabularies[] = {1, 256, 50257, 128256};
    constexpr format formats[] = {format::automatic, format::llmc, format::raw16, format::raw32};
    auto const vocabulary = vocabularies[data[0] & 3];
    try {
        auto const path = fuzz::memory_file({data + 1, size - 1});
        auto const file = snug::io::token_file::open(path, vocabulary, formats[data[0] >> 2 & 3]);
        for (std::int64_t i = 0; i < file.size(); ++i)
            if (file[i] < 0 || file[i] >= vocabulary) std::abort();
    } catch (snug::error const&) {
    }
    return 0;
}
