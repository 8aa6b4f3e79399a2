// SPDX-License-Identifier: Apache-2.0

// An input is a safetensors file.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <vector>

#include <snug/error.hpp>
#include <snug/io/safetensors.hpp>

#include "memory_file.hpp"

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
    try {
        snug::io::safetensors const file(fuzz::memory_file({data, size}));
        std::size_t bytes = 0;
        std::vector<float> to;
        for (auto const& tensor : file.tensors()) {
            if (&file.tensor(tensor.name) != &tensor) std::abort();
            bytes += tensor.bytes.size();
            to.resize(static_cast<std::size_t>(tensor.size()));
            try {
                decode(tensor, 0, to);
            } catch (snug::error const&) {
            }
        }
        // Every byte behind the header is of one tensor.
        std::uint64_t header;
        std::copy_n(data, sizeof header, reinterpret_cast<std::uint8_t*>(&header));
        if (bytes != size - sizeof header - header) std::abort();
    } catch (snug::error const&) {
    }
    return 0;
}
