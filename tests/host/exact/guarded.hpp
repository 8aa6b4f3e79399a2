// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <snug/memory/arena.hpp>

namespace test {

/// What went through the seam.
struct seam_log {
    int allocations = 0;
    int releases = 0;
    std::size_t size = 0;
    std::size_t lead = 0;  ///< bytes from the block's start to what was handed out
    std::byte* memory = nullptr;
    bool whole = true;
    bool fails = false;
};

/// While it lives, memory comes with a guard on each side and full of bytes that make a NaN of every format; what went
/// through the seam is written down.
class guarded_seam {
  public:
    static constexpr std::size_t guard = std::size_t{64} << 10;
    static constexpr std::byte guard_byte{0xA5};
    static constexpr std::byte nan_byte{0xFF};

    guarded_seam() : saved_(snug::memory_seam()) {
        log_ = {};
        snug::memory_seam() = {allocate, release};
    }
    guarded_seam(guarded_seam const&) = delete;
    guarded_seam& operator=(guarded_seam const&) = delete;
    ~guarded_seam() { snug::memory_seam() = saved_; }

    int allocations() const { return log_.allocations; }
    int releases() const { return log_.releases; }
    std::size_t size() const { return log_.size; }     ///< of the last allocation
    std::byte* memory() const { return log_.memory; }  ///< of the last allocation
    /// Nothing was written before or behind the last allocation, nor, once it is released, had been by then.
    bool guards_are_whole() const { return log_.whole && whole(); }
    /// All further allocations fail.
    void fail() { log_.fails = true; }

  private:
    static void* allocate(std::size_t alignment, std::size_t size) {
        ++log_.allocations;
        log_.size = size;
        log_.lead = std::max(alignment, guard);
        if (log_.fails) return nullptr;
        void* all = nullptr;
        if (posix_memalign(&all, log_.lead, log_.lead + size + guard) != 0) return nullptr;
        log_.memory = static_cast<std::byte*>(all) + log_.lead;
        std::fill_n(log_.memory - guard, guard, guard_byte);
        std::fill_n(log_.memory, size, nan_byte);
        std::fill_n(log_.memory + size, guard, guard_byte);
        return log_.memory;
    }
    static void release(void* pointer) {
        ++log_.releases;
        log_.whole = log_.whole && pointer == log_.memory && whole();
        log_.memory = nullptr;
        std::free(static_cast<std::byte*>(pointer) - log_.lead);
    }
    static bool whole() {
        if (!log_.memory) return true;
        auto const untouched = [](std::byte b) { return b == guard_byte; };
        auto const* const end = log_.memory + log_.size;
        return std::all_of(log_.memory - guard, log_.memory, untouched) &&
               std::all_of(end, end + guard, untouched);
    }

    inline static seam_log log_;
    snug::memory_calls saved_;
};

}  // namespace test
