// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <snug/meta.hpp>

/// Which plans of groups are cheap and may fit, in integers.
namespace snug::SNUG_TARGET::detail {

/// What one block costs that keeps a set of its values.
struct keep_option {
    unsigned mask = 0;         ///< bit v: the v-th value that backward reads is kept
    index_t kept = 0;          ///< bytes from forward to backward, with the block's input
    index_t transient = 0;     ///< bytes beside what is kept, at most, while one block runs
    index_t cost = 0;          ///< picoseconds of what is computed again, and of waiting for what was away
    index_t once = 0;          ///< bytes that a group of such blocks keeps beside that, whatever its length
    index_t least_blocks = 1;  ///< in a group of them

    /// In all of a group of so many.
    constexpr index_t kept_in(index_t blocks) const { return blocks > 0 ? blocks * kept + once : 0; }
    constexpr bool is_no_worse(keep_option const& o) const {
        return kept <= o.kept && transient <= o.transient && cost <= o.cost && once <= o.once &&
               least_blocks <= o.least_blocks;
    }
};

/// Options of which none is better than another in all that they say.
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
            if (o.is_no_worse(given)) return;
            if (given.is_no_worse(o)) continue;
            if (left != i) all[left] = o;
            ++left;
        }
        size = left;
        if (size == capacity) is_complete = false;
        else all[size++] = given;
    }

    /// Those that pass most come first: in a plan, too, by exchange of neighbours, which is never worse for the bound.
    constexpr void sort() {
        auto* const all = options.data();
        for (int i = 1; i < size; ++i) {
            auto const moved = all[i];
            int j = i;
            for (; j > 0 && all[j - 1].transient < moved.transient; --j) all[j] = all[j - 1];
            all[j] = moved;
        }
    }
};

/// Equal blocks, and what lies beside them.
struct block_chain {
    index_t blocks = 0;
    index_t floor = 0;    ///< bytes that are there throughout, less the input of the first block
    index_t between = 0;  ///< bytes beside what blocks keep, at most, between their forward and backward
    index_t outside = 0;  ///< bytes in all, at most, before the blocks and after them
};

/// Options that are tried in three groups.
struct option_list {
    static constexpr int capacity = 16;
    std::array<int, capacity> numbers{};
    int size = 0;

    constexpr void add(int option) {
        if (size < capacity) numbers[static_cast<std::size_t>(size++)] = option;
    }
};

/// Options between which no other lies nearer to no bytes and no cost: the corners of the convex hull.
constexpr option_list corners_of(option_front const& front) {
    auto const* const all = front.options.data();
    option_list result;
    int at = 0;
    for (int i = 1; i < front.size; ++i)
        if (all[i].kept < all[at].kept || (all[i].kept == all[at].kept && all[i].cost < all[at].cost)) at = i;
    // The next corner is the one to which cost falls most for a byte.
    while (true) {
        result.add(at);
        int next = -1;
        for (int i = 0; i < front.size; ++i) {
            if (all[i].kept <= all[at].kept || all[i].cost >= all[at].cost) continue;
            auto const steeper = [&](int a, int b) {
                return static_cast<double>(all[at].cost - all[a].cost) *
                           static_cast<double>(all[b].kept - all[at].kept) >
                       static_cast<double>(all[at].cost - all[b].cost) *
                           static_cast<double>(all[a].kept - all[at].kept);
            };
            if (next < 0 || steeper(i, next)) next = i;
        }
        if (next < 0 || result.size == option_list::capacity) return result;
        at = next;
    }
}

/// Options for the last block alone, whose values are there when its backward begins.
constexpr option_list endings_of(block_chain const& chain, option_front const& front) {
    auto const* const all = front.options.data();
    auto const taken = [&](int i) { return all[i].kept + std::max(all[i].transient, chain.between); };
    option_list result;
    for (int i = 0; i < front.size; ++i) {
        bool is_beaten = all[i].least_blocks > 1;
        for (int j = 0; j < front.size && !is_beaten; ++j)
            is_beaten = j != i && all[j].least_blocks == 1 && taken(j) <= taken(i) &&
                        all[j].cost <= all[i].cost &&
                        (taken(j) < taken(i) || all[j].cost < all[i].cost || j < i);
        if (!is_beaten) result.add(i);
    }
    return result;
}

/// `first_blocks` blocks that keep by option `first`, behind them others by `second`, and the last block by `ending`
/// unless that is -1.
struct group_plan {
    index_t cost = -1;
    int first = -1;
    int second = -1;
    int ending = -1;
    index_t first_blocks = 0;

    constexpr bool is_there() const { return cost >= 0; }
    /// Of two of one cost.
    constexpr bool is_before(group_plan const& other) const {
        if (first != other.first) return first < other.first;
        if (second != other.second) return second < other.second;
        return ending < other.ending;
    }
};

/// A lower bound of the bytes of a plan: what is alive at once.
constexpr index_t bound_of(block_chain const& chain, option_front const& front, group_plan const& plan) {
    auto const& a = front.options[static_cast<std::size_t>(plan.first)];
    auto const& b = front.options[static_cast<std::size_t>(plan.second)];
    auto const blocks = chain.blocks - (plan.ending < 0 ? 0 : 1);
    auto const kept_first = a.kept_in(plan.first_blocks);
    auto kept = kept_first + b.kept_in(blocks - plan.first_blocks);
    auto most = kept_first + a.transient;
    if (plan.first_blocks < blocks) most = std::max(most, kept + b.transient);
    if (plan.ending >= 0) {
        auto const& c = front.options[static_cast<std::size_t>(plan.ending)];
        kept += c.kept;
        most = std::max(most, kept + c.transient);
    }
    return std::max(chain.outside, chain.floor + std::max(most, kept + chain.between));
}

constexpr index_t divided_down(index_t a, index_t b) { return a >= 0 ? a / b : -((-a + b - 1) / b); }
constexpr index_t divided_up(index_t a, index_t b) { return -divided_down(-a, b); }

/// Finds the cheapest plan behind another whose bound is within a budget.
struct plan_finder {
    block_chain const& chain;
    option_front const& front;
    group_plan const& last;
    index_t room;
    group_plan best{};

    /// Of two options there is one plan of each cost.
    constexpr void consider(int i, int j, int ending) {
        auto const* const all = front.options.data();
        auto const &a = all[i], &b = all[j];
        auto length = chain.blocks;
        auto beside = chain.between;
        index_t at_the_end = 0;
        if (ending >= 0) {
            auto const& c = all[ending];
            --length;
            beside = c.kept + std::max(c.transient, beside);
            at_the_end = c.cost;
        }
        // Compilers bound the steps of a constant: most options are left here.
        if (best.is_there() && length * std::min(a.cost, b.cost) + at_the_end > best.cost) return;
        if (length * std::max(a.cost, b.cost) + at_the_end < last.cost) return;
        index_t low = i == j ? length : a.least_blocks, high = i == j ? length : length - b.least_blocks;
        auto const room_of_first = room - a.transient - a.once;
        if (a.kept > 0) high = std::min(high, divided_down(room_of_first, a.kept));
        else if (room_of_first < 0) return;
        auto const once = a.once + (i == j ? 0 : b.once);
        auto const rest = room - std::max(b.transient, beside) - once - length * b.kept;
        auto const more = a.kept - b.kept;
        if (more > 0) high = std::min(high, divided_down(rest, more));
        else if (more < 0) low = std::max(low, divided_up(-rest, -more));
        else if (rest < 0) return;
        if (low > high || length < a.least_blocks) return;
        group_plan plan{0, i, j, ending, 0};
        auto const least = last.cost + (last.is_before(plan) ? 0 : 1);
        auto const slope = a.cost - b.cost;
        auto const fixed = length * b.cost + at_the_end;
        if (slope > 0) low = std::max(low, divided_up(least - fixed, slope));
        else if (slope < 0) high = std::min(high, divided_down(fixed - least, -slope));
        if (low > high) return;
        plan.first_blocks = slope < 0 ? high : low;
        plan.cost = fixed + plan.first_blocks * slope;
        if (plan.cost < least) return;
        if (!best.is_there() || plan.cost < best.cost || (plan.cost == best.cost && plan.is_before(best)))
            best = plan;
    }
};

/// The cheapest plan after `last` whose bound is within `budget`. Plans are in the order of (cost, options): of two
/// options as dear as each other there is one plan. Groups are two of any options, in the order of the front, or two of
/// `corners` with one of `endings` for the last block.
constexpr group_plan next_plan(block_chain const& chain, option_front const& front,
                               option_list const& corners, option_list const& endings, index_t budget,
                               group_plan const& last) {
    plan_finder finder{chain, front, last, budget - chain.floor};
    if (chain.outside > budget) return {};
    for (int i = 0; i < front.size; ++i)
        for (int j = i; j < front.size; ++j) finder.consider(i, j, -1);
    if (chain.blocks < 3) return finder.best;
    for (int a = 0; a < corners.size; ++a)
        for (int b = 0; b < corners.size; ++b) {
            auto const i = corners.numbers[static_cast<std::size_t>(a)],
                       j = corners.numbers[static_cast<std::size_t>(b)];
            if (i >= j) continue;
            for (int e = 0; e < endings.size; ++e)
                if (auto const ending = endings.numbers[static_cast<std::size_t>(e)]; ending != j)
                    finder.consider(i, j, ending);
        }
    return finder.best;
}

/// Of plans in which some blocks keep as little as they can, the one of the least bound, and of these the cheapest;
/// `offloads`: of those, too, whose options need groups of several blocks.
constexpr group_plan least_plan(block_chain const& chain, option_front const& front, bool offloads = true) {
    auto const may_be = [&](int i) {
        return front.options[static_cast<std::size_t>(i)].least_blocks <= (offloads ? chain.blocks : 1);
    };
    int smallest = -1;
    for (int i = 0; i < front.size; ++i) {
        auto const& o = front.options[static_cast<std::size_t>(i)];
        if (may_be(i) && (smallest < 0 || o.kept < front.options[static_cast<std::size_t>(smallest)].kept))
            smallest = i;
    }
    group_plan best;
    index_t least = 0;
    auto const length = chain.blocks;
    auto const try_plan = [&](int i, int j, index_t n) {
        auto const& a = front.options[static_cast<std::size_t>(i)];
        auto const& b = front.options[static_cast<std::size_t>(j)];
        if (n < a.least_blocks || (i != j && length - n < b.least_blocks)) return;
        group_plan const plan{n * a.cost + (length - n) * b.cost, i, j, -1, n};
        auto const bound = bound_of(chain, front, plan);
        if (!best.is_there() || bound < least || (bound == least && plan.cost < best.cost))
            best = plan, least = bound;
    };
    try_plan(smallest, smallest, length);
    for (int j = 0; j < front.size; ++j) {
        if (j == smallest || !may_be(j)) continue;
        for (index_t n = 1; n < length; ++n) try_plan(std::min(smallest, j), std::max(smallest, j), n);
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
