// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace snug::backend::cuda {

/// Bytes of workspace that products of plain matrices take from the plan, for the library's split sums. NVIDIA's advice for
/// Hopper; smaller devices use less of it.
inline constexpr std::int64_t library_workspace = std::int64_t{32} << 20;

/// The library wants this alignment; a plan promises a cache line, so what it may use is a little less.
inline constexpr std::int64_t library_workspace_alignment = 256;
inline constexpr std::int64_t library_workspace_usable = library_workspace - library_workspace_alignment;

/// The workspace of one product, whatever its operands: snug's own kernels need none.
template <class T>
constexpr std::int64_t matmul_workspace_bytes(std::int64_t /*columns*/, std::int64_t /*depth*/) {
    return library_workspace;
}

}  // namespace snug::backend::cuda
