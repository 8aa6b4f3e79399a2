// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <snug/layers/tables.hpp>
#include <snug/memory/declaration.hpp>
#include <snug/units.hpp>

/// Which parameters move together between ranks, and which share of them each rank owns. Constants only.
namespace snug::SNUG_TARGET::sharding {

/// Shares are cut at multiples of so many elements of a parameter: no block of an optimizer's states, no run of
/// the exact sum of squares and no vector of an instruction is ever cut.
inline constexpr index_t granule = 256;

/// A unit with fewer elements is joined with the one after it. Depends on the model only, so that units are the
/// same for any number of ranks.
inline constexpr index_t smallest_unit = 65536;

/// How the parameters of a group are stored.
enum class storage { trained, trained_in_blocks, frozen, frozen_bytes };

/// Parameters of one unit and one storage, one after the other, each from a multiple of `granule` on. Rank r of N
/// owns the r-th N-th of every copy.
struct group {
    path name{};  ///< "blocks", "blocks.frozen"
    storage stored = storage::trained;
    int unit = 0;
    index_t copies = 1;
    index_t count = 0;     ///< of a copy, in elements or bytes, padded to a multiple of `granule` and ranks
    bool is_kept = false;  ///< its weights are whole on every rank, even in stage 3

    constexpr bool is_trained() const {
        return stored == storage::trained || stored == storage::trained_in_blocks;
    }
};

/// A group's part that is a parameter.
struct member {
    int group = -1;        ///< -1: a derived parameter, which every rank computes for itself
    index_t position = 0;  ///< of its first element, or byte, in the group
};

/// The groups of a model of N parameters. A unit is the repeated blocks, or a layer beside them: what is gathered
/// at once before it runs, and whose gradients are added at once after it.
template <std::size_t N>
struct grouping {
    std::array<group, N> groups{};
    std::size_t size = 0;
    std::array<member, N> members{};
    std::array<int, N> units{};  ///< of each parameter
    int unit_count = 0;

    constexpr index_t copies(int unit) const {
        for (std::size_t g = 0; g < size; ++g)
            if (groups[g].unit == unit) return groups[g].copies;
        return 1;
    }
    constexpr bool is_repeated(int unit) const { return copies(unit) > 1; }
    constexpr bool is_kept(int unit) const {
        for (std::size_t g = 0; g < size; ++g)
            if (groups[g].unit == unit) return groups[g].is_kept;
        return false;
    }
    /// Keeps the units with fewer bytes of weights, `weight_size` each of what is not stored as bytes.
    constexpr void keep_below(bytes size_of_unit, index_t weight_size) {
        for (std::size_t g = 0; g < size; ++g) {
            bytes found{};
            for (std::size_t other = 0; other < size; ++other)
                if (auto const& its = groups[other]; its.unit == groups[g].unit)
                    found.count += its.count * (its.stored == storage::frozen_bytes ? 1 : weight_size);
            groups[g].is_kept = found < size_of_unit;
        }
    }
    /// In which its weights are whole, when so many units are gathered ahead.
    constexpr index_t rooms(int unit, index_t ahead) const { return std::min(ahead + 1, copies(unit)); }
};

namespace detail {

/// The name of the unit that begins with this parameter: "blocks", or the name of its layer.
constexpr std::string_view unit_name(parameter_entry const& first) {
    auto const whole = first.name.view();
    if (first.is_repeated())
        return whole.substr(
            0, static_cast<std::size_t>(first.block.at) + static_cast<std::size_t>(first.block.placeholder));
    std::size_t length = 0;
    while (length < whole.size() && whole[length] != '.') ++length;
    return whole.substr(0, length);
}

constexpr std::string_view suffix_of(storage stored) {
    switch (stored) {
    case storage::trained: return "";
    case storage::trained_in_blocks: return "in_blocks";
    case storage::frozen: return "frozen";
    case storage::frozen_bytes: return "stored";
    }
    return "";
}

/// The number of the unit of every parameter; `layers` says in which layer of the model's list each stands.
template <std::size_t N>
constexpr std::array<int, N> units_of(std::array<parameter_entry, N> const& entries,
                                      std::array<int, N> const& layers) {
    std::array<int, N> units{};
    std::array<index_t, N> sizes{};
    std::array<bool, N> repeated{};
    int count = 0;
    for (std::size_t p = 0; p < N; ++p) {
        auto const& entry = entries[p];
        bool const is_new = p == 0 || layers[p] != layers[p - 1] || entry.copies != entries[p - 1].copies ||
                            entry.block.at != entries[p - 1].block.at ||
                            entry.block.first != entries[p - 1].block.first ||
                            entry.block.every != entries[p - 1].block.every;
        if (is_new) ++count;
        units[p] = count - 1;
        auto const u = static_cast<std::size_t>(count - 1);
        repeated[u] = entry.is_repeated();
        if (!entry.is_derived()) sizes[u] += entry.count;
    }
    // Small ones go to their successor, the last one to its predecessor; never to or from repeated blocks.
    std::array<int, N> joined{};
    int next = 0;
    for (int u = 0; u < count; ++u) {
        auto const i = static_cast<std::size_t>(u);
        bool const with_previous =
            u > 0 && !repeated[i] && !repeated[i - 1] &&
            (sizes[i - 1] < smallest_unit || (u + 1 == count && sizes[i] < smallest_unit));
        if (u > 0 && !with_previous) ++next;
        if (with_previous) sizes[i] += sizes[i - 1];
        joined[i] = next;
    }
    for (auto& unit : units) unit = joined[static_cast<std::size_t>(unit)];
    return units;
}

}  // namespace detail

/// Groups for so many ranks; `in_blocks(entry)`: states of the parameter are stored in blocks, which is decided by
/// the whole parameter, never by a share of it.
template <std::size_t N, class InBlocks>
constexpr grouping<N> group_parameters(std::array<parameter_entry, N> const& entries,
                                       std::array<int, N> const& layers, index_t ranks,
                                       InBlocks const& in_blocks) {
    grouping<N> result;
    for (auto& its : result.members) its = {};  // see engine::layout::clear
    result.units = detail::units_of(entries, layers);
    for (std::size_t p = 0; p < N; ++p) {
        auto const& entry = entries[p];
        result.unit_count = std::max(result.unit_count, result.units[p] + 1);
        if (entry.is_derived()) continue;
        auto const stored = entry.is_quantized()  ? storage::frozen_bytes
                            : !entry.is_trained() ? storage::frozen
                            : in_blocks(entry)    ? storage::trained_in_blocks
                                                  : storage::trained;
        auto const is_its = [&](group const& g) { return g.unit == result.units[p] && g.stored == stored; };
        std::size_t g = 0;
        while (g < result.size && !is_its(result.groups[g])) ++g;
        auto& its = result.groups[g];
        if (g == result.size) {
            std::size_t first = p;
            while (first > 0 && result.units[first - 1] == result.units[p]) --first;
            its = {path(detail::unit_name(entries[first])) / detail::suffix_of(stored), stored,
                   result.units[p], entry.copies};
            ++result.size;
        }
        result.members[p] = {static_cast<int>(g), its.count};
        its.count += round_up(entry.is_quantized() ? entry.stored_bytes : entry.count, granule);
    }
    for (std::size_t g = 0; g < result.size; ++g)
        result.groups[g].count = round_up(result.groups[g].count, granule * ranks);
    return result;
}

}  // namespace snug::SNUG_TARGET::sharding
