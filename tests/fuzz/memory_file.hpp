// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <cstdlib>
#include <span>
#include <string>

#include <sys/mman.h>
#include <unistd.h>

namespace fuzz {

/// The path of a file with that content, which is only in memory. The next call writes the same file anew: no mapping of it
/// may be left by then.
inline std::string memory_file(std::span<std::uint8_t const> content) {
    static int const file = memfd_create("input", 0);
    if (file < 0 || ftruncate(file, 0) < 0 ||
        pwrite(file, content.data(), content.size(), 0) != static_cast<ssize_t>(content.size()))
        std::abort();
    return "/proc/self/fd/" + std::to_string(file);
}

}  // namespace fuzz
