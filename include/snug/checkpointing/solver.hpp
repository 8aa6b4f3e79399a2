// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <snug/meta.hpp>

/// Which plans of groups are cheap and may fit, in integers.
namespace snug::SNUG_TARGET::detail {

/// What one block costs that keeps a set of its values.
struct keep_option {
    unsigned mask = 0;      ///< bit v: the v-th value that backward reads is kept
    index_t kept = 0;       ///< bytes from forward to backward, with the block's input
    index_t transient = 0;  ///< bytes beside what is kept, at most, while one block runs
    index_t cost = 0;       ///< picoseconds of what is computed again
};

/// Options of which none is better than another in all of kept, transient and cost.
struct option_front {
    static constexpr int capacity = 128;
    std::array<keep_option, capacity> options{};
    int size = 0;
    bool is_complete = true;

    constexpr void add(keep_option const& given) {
        auto* const all = options.data();
        int left = 0;
        for (int i = 0; i < size; ++i) {
            auto const& o = all[i];
            if (o.kept <= given.kept && o.transient <= given.transient && o.cost <= given.cost) return;
            if (given.kept <= o.kept && given.transient <= o.transient && given.cost <= o.cost) continue;
            if (left != i) all[left] = o;
            ++left;
        }
        size = left;
        if (size == capacity) is_complete = false;
        else all[size++] = given;
    }
};

/// Equal blocks, and what lies beside them.
struct block_chain {
    index_t blocks = 0;
    index_t floor = 0;    ///< bytes that are there throughout, less the input of the first block
    index_t between = 0;  ///< bytes beside what blocks keep, at most, between their forward and backward
    index_t outside = 0;  ///< bytes in all, at most, before the blocks and after them
};

/// `first_blocks` blocks that keep by option `first`, and behind them the rest by `second`.
struct two_groups {
    index_t cost = -1;
    int first = -1;
    int second = -1;
    index_t first_blocks = 0;

    constexpr bool is_there() const { return cost >= 0; }
};

/// A lower bound of the bytes of a plan: what is alive at once.
constexpr index_t bound_of(block_chain const& chain, option_front const& front, two_groups const& plan) {
    auto const& a = front.options[static_cast<std::size_t>(plan.first)];
    auto const& b = front.options[static_cast<std::size_t>(plan.second)];
    auto const kept_first = plan.first_blocks * a.kept;
    auto const kept = kept_first + (chain.blocks - plan.first_blocks) * b.kept;
    auto most = std::max(kept_first + a.transient, kept + chain.between);
    if (plan.first_blocks < chain.blocks) most = std::max(most, kept + b.transient);
    return std::max(chain.outside, chain.floor + most);
}

constexpr index_t divided_down(index_t a, index_t b) { return a >= 0 ? a / b : -((-a + b - 1) / b); }
constexpr index_t divided_up(index_t a, index_t b) { return -divided_down(-a, b); }

/// The cheapest plan after `last` whose bound is within `budget`. Plans are in the order of (cost, first, second): of two options as dear
/// as each other there is one plan. The option that passes more comes first: by exchange of neighbours that is never worse for the bound.
constexpr two_groups next_plan(block_chain const& chain, option_front const& front, index_t budget,
                               two_groups const& last) {
    two_groups best;
    if (chain.outside > budget) return best;
    auto const room = budget - chain.floor;
    auto const L = chain.blocks;
    auto const* const all = front.options.data();
    for (int i = 0; i < front.size; ++i) {
        for (int j = 0; j < front.size; ++j) {
            auto const &a = all[i], &b = all[j];
            if (a.transient < b.transient || (a.transient == b.transient && i > j)) continue;
            index_t low = i == j ? L : 1, high = i == j ? L : L - 1;
            high = std::min(high, divided_down(room - a.transient, a.kept));
            auto const rest = room - std::max(b.transient, chain.between) - L * b.kept;
            auto const more = a.kept - b.kept;
            if (more > 0) high = std::min(high, divided_down(rest, more));
            else if (more < 0) low = std::max(low, divided_up(-rest, -more));
            else if (rest < 0) continue;
            if (low > high) continue;
            bool const is_behind = i > last.first || (i == last.first && j > last.second);
            auto const least = last.cost + (is_behind ? 0 : 1);
            auto const slope = a.cost - b.cost;
            if (slope > 0) low = std::max(low, divided_up(least - L * b.cost, slope));
            else if (slope < 0) high = std::min(high, divided_down(L * b.cost - least, -slope));
            if (low > high) continue;
            auto const n = slope < 0 ? high : low;
            auto const cost = L * b.cost + n * slope;
            if (cost < least) continue;
            if (!best.is_there() || cost < best.cost) best = {cost, i, j, n};
        }
    }
    return best;
}

/// Of plans in which some blocks keep as little as they can, the one of the least bound, and of these the cheapest.
constexpr two_groups least_plan(block_chain const& chain, option_front const& front) {
    int smallest = 0;
    for (int i = 1; i < front.size; ++i)
        if (front.options[static_cast<std::size_t>(i)].kept <
            front.options[static_cast<std::size_t>(smallest)].kept)
            smallest = i;
    two_groups best;
    index_t least = 0;
    auto const L = chain.blocks;
    auto const try_plan = [&](int i, int j, index_t n) {
        auto const& a = front.options[static_cast<std::size_t>(i)];
        auto const& b = front.options[static_cast<std::size_t>(j)];
        two_groups const plan{n * a.cost + (L - n) * b.cost, i, j, n};
        auto const bound = bound_of(chain, front, plan);
        if (!best.is_there() || bound < least || (bound == least && plan.cost < best.cost))
            best = plan, least = bound;
    };
    try_plan(smallest, smallest, L);
    for (int j = 0; j < front.size; ++j) {
        if (j == smallest) continue;
        bool const is_first = front.options[static_cast<std::size_t>(smallest)].transient >=
                              front.options[static_cast<std::size_t>(j)].transient;
        for (index_t n = 1; n < L; ++n) try_plan(is_first ? smallest : j, is_first ? j : smallest, n);
    }
    return best;
}

/// What no plan costs less than that fits, of however many groups: the cost were blocks divisible.
constexpr double least_cost(block_chain const& chain, option_front const& front, index_t budget) {
    auto const* const all = front.options.data();
    index_t least_transient = all[0].transient;
    for (int i = 1; i < front.size; ++i) least_transient = std::min(least_transient, all[i].transient);
    // What all blocks keep is there between forward and backward, and beside the last block.
    auto const kept = static_cast<double>(budget - chain.floor - std::max(chain.between, least_transient)) /
                      static_cast<double>(chain.blocks);
    double best = -1;
    auto const found = [&](double cost) {
        if (best < 0 || cost < best) best = cost;
    };
    for (int i = 0; i < front.size; ++i) {
        auto const& a = all[i];
        if (static_cast<double>(a.kept) <= kept) found(static_cast<double>(a.cost));
        for (int j = 0; j < front.size; ++j) {
            auto const& b = all[j];
            if (static_cast<double>(a.kept) > kept || static_cast<double>(b.kept) <= kept) continue;
            auto const part = (kept - static_cast<double>(a.kept)) / static_cast<double>(b.kept - a.kept);
            found(static_cast<double>(a.cost) + static_cast<double>(b.cost - a.cost) * part);
        }
    }
    return std::max(best, 0.0) * static_cast<double>(chain.blocks);
}

}  // namespace snug::SNUG_TARGET::detail
