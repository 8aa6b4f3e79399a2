// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <snug/memory/declaration.hpp>

namespace snug::SNUG_TARGET {

/// Every buffer starts on a cache line, and on what vector loads and the GPU's 16-byte accesses need.
inline constexpr index_t buffer_alignment = 64;

/// The layout of a step: for each declaration its offset in the one allocation of its space, and the sizes of
/// these.
template <std::size_t N>
struct memory_plan {
    std::array<declaration, N> declarations{};
    std::array<index_t, N> offsets{};
    std::array<bytes, spaces> sizes{};

    constexpr bytes size(space where) const { return sizes[static_cast<std::size_t>(where)]; }
    /// Of the device's allocation.
    constexpr bytes total() const { return size(space::device_memory); }
};

/// Packs the declarations of each space by lifetime: two buffers share memory when they are never needed at
/// the same time. Larger buffers are placed first, each at the lowest offset that is free during its whole
/// life (the "greedy by size" order of Pisarchyk and Lee, arXiv 2001.03288). Buffers that always live lie
/// below the rest.
template <std::size_t N>
constexpr memory_plan<N> pack(std::array<declaration, N> const& declarations) {
    memory_plan<N> plan{declarations, {}, {}};
    // Pointers: compilers count what is done here, and a call of operator[] is several steps.
    auto const* const all = declarations.data();
    std::array<index_t, N> sizes{}, begins{};
    std::array<std::size_t, N> orders{}, placed_ones{};
    auto* const size = sizes.data();
    auto* const begin = begins.data();
    auto* const order = orders.data();
    auto* const placed = placed_ones.data();

    std::array<index_t, spaces> floors{};
    std::size_t movable = 0;
    for (std::size_t i = 0; i < N; ++i) {
        size[i] = round_up(all[i].size().count, buffer_alignment);
        if (size[i] == 0) continue;
        if (all[i].alive.forever) {
            auto& floor = floors[static_cast<std::size_t>(all[i].where)];
            begin[i] = floor;
            floor += size[i];
        } else {
            // Insertion sort: stable, so the plan never depends on the compiler.
            auto j = movable++;
            for (; j > 0 && size[i] > size[order[j - 1]]; --j) order[j] = order[j - 1];
            order[j] = i;
        }
    }

    auto tops = floors;
    for (std::size_t i = 0; i < movable; ++i) {
        auto const current = order[i];
        auto const where = all[current].where;
        auto& top = tops[static_cast<std::size_t>(where)];
        auto const length = size[current];
        index_t offset = floors[static_cast<std::size_t>(where)];
        // Those that are placed, from below: an obstacle pushes the buffer up, until one begins above its end.
        std::size_t j = 0;
        for (; j < i && begin[placed[j]] < offset + length; ++j) {
            auto const other = placed[j];
            auto const end = begin[other] + size[other];
            if (end > offset && all[other].where == where && all[current].alive.overlaps(all[other].alive))
                offset = end;
        }
        begin[current] = offset;
        top = std::max(top, offset + length);
        for (j = i; j > 0 && begin[placed[j - 1]] > offset; --j) placed[j] = placed[j - 1];
        placed[j] = current;
    }
    plan.offsets = begins;
    for (std::size_t where = 0; where < spaces; ++where) plan.sizes[where] = {tops[where]};
    return plan;
}

/// The bill by line. `total` is what is allocated on the device: lifetimes packed, so at most the sum of its
/// lines.
struct memory_bill {
    bytes weights{};
    bytes master_weights{};
    bytes gradients{};
    bytes optimizer_state{};
    bytes activations{};
    bytes workspace{};  ///< what lives inside one call, and the padding between buffers
    bytes staging{};
    bytes communication{};
    bytes total{};
    bytes paged{};  ///< the host's memory beside the total: states that are streamed, activations that wait

    constexpr bytes sum() const {
        return weights + master_weights + gradients + optimizer_state + activations + workspace + staging +
               communication;
    }
};

template <std::size_t N>
constexpr memory_bill bill_of(memory_plan<N> const& plan) {
    memory_bill bill;
    bill.total = plan.size(space::device_memory);
    bill.paged = plan.size(space::host_memory);
    for (auto const& buffer : plan.declarations) {
        if (buffer.where != space::device_memory) continue;
        auto const size = buffer.size();
        switch (buffer.line) {
        case role::weight: bill.weights += size; break;
        case role::master_weight: bill.master_weights += size; break;
        case role::gradient: bill.gradients += size; break;
        case role::optimizer_state: bill.optimizer_state += size; break;
        case role::activation: bill.activations += size; break;
        case role::workspace: bill.workspace += size; break;
        case role::staging: bill.staging += size; break;
        case role::communication: bill.communication += size; break;
        }
        bill.workspace += {round_up(size.count, buffer_alignment) - size.count};
    }
    return bill;
}

}  // namespace snug::SNUG_TARGET
