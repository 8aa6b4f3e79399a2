// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdlib>
#include <snug/memory/arena.hpp>
#include <snug/memory/declaration.hpp>

namespace test {

/// What went through the seam. A trainer allocates the memory of its step first, then what is paged.
struct seam_log {
    struct block {
        std::size_t size = 0;
        std::size_t lead = 0;  ///< bytes from the block's start to what was handed out
        std::byte* memory = nullptr;
    };
    int allocations = 0;
    int releases = 0;
    std::array<block, snug::spaces> blocks{};
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
    std::size_t size(snug::space of = snug::space::device_memory) const { return at(of).size; }
    std::byte* memory(snug::space of = snug::space::device_memory) const { return at(of).memory; }
    /// Nothing was written before or behind what is allocated, nor, once it was released, had been by then.
    bool guards_are_whole() const {
        return log_.whole && std::all_of(log_.blocks.begin(), log_.blocks.end(), whole);
    }
    /// All further allocations fail.
    void fail() { log_.fails = true; }

  private:
    static seam_log::block& at(snug::space of) { return log_.blocks[static_cast<std::size_t>(of)]; }
    static seam_log::block& block_of(void* pointer) {
        return *std::find_if(log_.blocks.begin(), log_.blocks.end() - 1,
                             [=](auto const& block) { return block.memory == pointer; });
    }

    static void* allocate(std::size_t alignment, std::size_t size) {
        ++log_.allocations;
        auto& block = block_of(nullptr);
        block.size = size;
        block.lead = std::max(alignment, guard);
        if (log_.fails) return nullptr;
        void* all = nullptr;
        if (posix_memalign(&all, block.lead, block.lead + size + guard) != 0) return nullptr;
        block.memory = static_cast<std::byte*>(all) + block.lead;
        std::fill_n(block.memory - guard, guard, guard_byte);
        std::fill_n(block.memory, size, nan_byte);
        std::fill_n(block.memory + size, guard, guard_byte);
        return block.memory;
    }
    static void release(void* pointer) {
        ++log_.releases;
        auto& block = block_of(pointer);
        log_.whole = log_.whole && pointer == block.memory && whole(block);
        block.memory = nullptr;
        std::free(static_cast<std::byte*>(pointer) - block.lead);
    }
    static bool whole(seam_log::block const& block) {
        if (!block.memory) return true;
        auto const untouched = [](std::byte b) { return b == guard_byte; };
        auto const* const end = block.memory + block.size;
        return std::all_of(block.memory - guard, block.memory, untouched) &&
               std::all_of(end, end + guard, untouched);
    }

    inline static seam_log log_;
    snug::memory_calls saved_;
};

}  // namespace test
