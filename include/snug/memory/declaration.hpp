// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <concepts>
#include <cstdint>
#include <snug/meta.hpp>
#include <snug/precision/name.hpp>
#include <snug/units.hpp>
#include <string_view>

namespace snug::SNUG_TARGET {

/// The lines of the bill. Every byte that a trainer owns stands on exactly one of them.
enum class role {
    weight,
    master_weight,
    gradient,
    optimizer_state,
    activation,
    workspace,
    staging,
    communication
};

/// The memories of a trainer, each of one allocation: that of the device (or processor) which runs the step,
/// and the host's memory beside it, from which pages travel.
enum class space { device_memory, host_memory };
inline constexpr std::size_t spaces = 2;

/// A name of bounded length that can be built at compile time: "blocks.qkv.weight".
struct path {
    static constexpr std::size_t capacity = 96;
    std::array<char, capacity> characters{};
    std::size_t length = 0;

    constexpr path() = default;
    constexpr path(std::string_view part) { *this = *this / part; }

    constexpr std::string_view view() const { return {characters.data(), length}; }

    /// Appends a part after a dot; an empty part changes nothing.
    friend constexpr path operator/(path whole, std::string_view part) {
        if (part.empty()) return whole;
        if (whole.length > 0) whole.push('.');
        for (char c : part) whole.push(c);
        return whole;
    }

  private:
    constexpr void push(char c) {
        if (length == capacity) throw "snug: the name of a parameter or buffer is longer than a path holds";
        characters[length++] = c;
    }
};

/// When a buffer holds something that is still needed: a few closed intervals of the step's schedule, whose
/// positions are the calls of layers in the order in which they run.
struct lifetime {
    struct interval {
        int first = 0;
        int last = -1;
    };
    static constexpr int capacity = 4;
    std::array<interval, capacity> intervals{};
    int count = 0;
    bool forever = false;

    static constexpr lifetime always() {
        lifetime result;
        result.forever = true;
        return result;
    }

    constexpr void add(interval span) {
        if (count == capacity)
            throw "snug: a buffer is needed in more pieces of a step than a lifetime holds";
        intervals[static_cast<std::size_t>(count++)] = span;
    }

    constexpr bool overlaps(lifetime const& other) const {
        if (forever || other.forever) return true;
        // Pointers: this is most of what a compiler does for a plan, and it counts calls of operator[].
        auto const* const others = other.intervals.data();
        for (auto const *a = intervals.data(), *const end = a + count; a != end; ++a)
            for (int j = 0; j < other.count; ++j)
                if (a->first <= others[j].last && others[j].first <= a->last) return true;
        return false;
    }
};

/// A buffer of the step: it exists because a layer or a policy declares it. `copies` counts repetitions of
/// the same buffer (one for each block that is kept), stored one after the other.
struct declaration {
    path name{};
    std::string_view element{};
    index_t element_size = 1;
    index_t count = 0;  ///< elements of one copy
    index_t copies = 1;
    role line = role::workspace;
    lifetime alive = lifetime::always();
    space where = space::device_memory;

    constexpr index_t stride() const { return count * element_size; }  ///< bytes from one copy to the next
    constexpr bytes size() const { return {stride() * copies}; }
};

template <class T>
constexpr declaration declare(path name, index_t count, index_t copies, role line,
                              lifetime alive = lifetime::always(), space where = space::device_memory) {
    return {name, element_name<T>, static_cast<index_t>(sizeof(T)), count, copies, line, alive, where};
}

/// Where an array lies: in a declaration, from `offset` bytes on, its copies `stride` bytes apart. Made by
/// default: nowhere.
struct region {
    int declaration = -1;
    index_t offset = 0;
    index_t stride = 0;
    index_t share = 0;  ///< bytes of a copy that each process holds, those of rank 0 first; 0: it holds all
};

}  // namespace snug::SNUG_TARGET
