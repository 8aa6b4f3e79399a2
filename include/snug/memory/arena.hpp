// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cerrno>
#include <cstdlib>
#include <snug/error.hpp>
#include <snug/units.hpp>
#include <utility>
#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace snug::SNUG_TARGET {

/// The one seam through which snug gets memory. Tests replace the functions to count and to fail; everybody else leaves
/// them alone.
struct memory_calls {
    void* (*allocate)(std::size_t alignment, std::size_t size) = [](std::size_t alignment,
                                                                    std::size_t size) -> void* {
        void* result = nullptr;
        return posix_memalign(&result, alignment, size) == 0 ? result : nullptr;
    };
    void (*release)(void*) = [](void* pointer) { std::free(pointer); };
};

inline memory_calls& memory_seam() {
    static memory_calls calls;
    return calls;
}

/// The one allocation of a trainer: exactly `size` bytes, owned, movable.
class arena {
  public:
    arena() = default;

    /// Throws `snug::error` when the memory is not to be had. `calls` outlives the arena.
    explicit arena(bytes size, memory_calls const& calls = memory_seam()) : size_(size), calls_(&calls) {
        if (size.count == 0) return;
        // Huge pages where the system has them: a step walks over all of this memory.
        constexpr std::int64_t huge_page = std::int64_t{2} << 20;
        auto const alignment = size.count >= huge_page ? huge_page : 64;
        auto const count = static_cast<std::size_t>(size.count);
        data_ = static_cast<std::byte*>(calls.allocate(static_cast<std::size_t>(alignment), count));
        if (!data_) throw error({}, "not enough free memory", "one allocation of " + to_string(size));
#if defined(MADV_HUGEPAGE)
        if (&calls == &memory_seam() && size.count >= huge_page) (void)madvise(data_, count, MADV_HUGEPAGE);
#endif
    }

    arena(arena&& other) noexcept
        : data_(std::exchange(other.data_, nullptr)),
          size_(std::exchange(other.size_, {})),
          calls_(other.calls_) {}
    arena& operator=(arena&& other) noexcept {
        std::swap(data_, other.data_);
        std::swap(size_, other.size_);
        std::swap(calls_, other.calls_);
        return *this;
    }
    ~arena() {
        if (data_) calls_->release(data_);
    }

    std::byte* data() const { return data_; }
    bytes size() const { return size_; }

  private:
    std::byte* data_ = nullptr;
    bytes size_{};
    memory_calls const* calls_ = &memory_seam();
};

}  // namespace snug::SNUG_TARGET
