// SPDX-License-Identifier: Apache-2.0
// The search of checkpointing::within against all there is: a chain small enough to try everything, and many by chance.
#include <algorithm>
#include <catch2/catch.hpp>
#include <random>
#include <snug/checkpointing/solver.hpp>
#include <tuple>
#include <vector>

namespace {

using namespace snug;
using namespace snug::detail;

/// All plans in the order of their cost, each with the options that it has.
std::vector<group_plan> all_found(block_chain const& chain, option_front const& front, index_t budget) {
    auto const corners = corners_of(front), endings = endings_of(chain, front);
    std::vector<group_plan> result;
    group_plan last;
    while (result.size() < 100'000) {
        last = next_plan(chain, front, corners, endings, budget, last);
        if (!last.is_there()) return result;
        result.push_back(last);
    }
    FAIL("the plans have no end");
    return result;
}

/// The cheapest of each cost and pair, by trying every number of blocks.
std::vector<std::tuple<index_t, int, int, int>> all_there_are(block_chain const& chain,
                                                              option_front const& front, index_t budget) {
    auto const corners = corners_of(front), endings = endings_of(chain, front);
    auto const has = [](option_list const& list, int option) {
        return std::find(list.numbers.begin(), list.numbers.begin() + list.size, option) !=
               list.numbers.begin() + list.size;
    };
    std::vector<std::tuple<index_t, int, int, int>> result;
    auto const at = [&](int i) -> keep_option const& { return front.options[static_cast<std::size_t>(i)]; };
    for (int i = 0; i < front.size; ++i)
        for (int j = i; j < front.size; ++j)
            for (int e = -1; e < front.size; ++e) {
                if (e >= 0 && (chain.blocks < 3 || i == j || e == j || !has(endings, e) || !has(corners, i) ||
                               !has(corners, j)))
                    continue;
                auto const L = chain.blocks - (e < 0 ? 0 : 1);
                for (index_t n = 1; n <= L; ++n) {
                    if ((i == j) != (n == L)) continue;
                    if (n < at(i).least_blocks || (n < L && L - n < at(j).least_blocks)) continue;
                    group_plan const plan{n * at(i).cost + (L - n) * at(j).cost + (e < 0 ? 0 : at(e).cost), i,
                                          j, e, n};
                    if (bound_of(chain, front, plan) <= budget) result.emplace_back(plan.cost, i, j, e);
                }
            }
    std::sort(result.begin(), result.end());
    result.erase(std::unique(result.begin(), result.end()), result.end());
    return result;
}

struct chance {
    std::mt19937 numbers{3};
    index_t below(index_t n) { return static_cast<index_t>(numbers() % static_cast<unsigned>(n)); }

    /// In half of the cases each also with its input elsewhere.
    option_front front() {
        option_front result;
        bool const offloads = below(2) == 1;
        for (auto options = 1 + below(6); options > 0; --options) {
            keep_option const given{static_cast<unsigned>(options), 1 + below(9), below(12), below(10)};
            result.add(given);
            if (offloads)
                result.add({given.mask + 32, given.kept - 1, given.transient, given.cost + below(3), 4, 5});
        }
        result.sort();
        return result;
    }
    block_chain chain() { return {2 + below(6), 10, below(6), below(20)}; }
};

}  // namespace

TEST_CASE("plans come in the order of their cost, all that may fit and no other") {
    chance by_chance;
    for (int i = 0; i < 10'000; ++i) {
        auto const front = by_chance.front();
        auto const chain = by_chance.chain();
        auto const budget = 12 + by_chance.below(60);
        auto const wanted = all_there_are(chain, front, budget);
        std::vector<std::tuple<index_t, int, int, int>> found;
        for (auto const& plan : all_found(chain, front, budget)) {
            found.emplace_back(plan.cost, plan.first, plan.second, plan.ending);
            if (bound_of(chain, front, plan) > budget) FAIL("a plan that does not fit");
        }
        CAPTURE(i);
        if (found != wanted) CHECK(found == wanted);
    }
}

TEST_CASE("more memory never costs more, and no plan costs less than the bound of all") {
    chance by_chance;
    for (int i = 0; i < 10'000; ++i) {
        auto const front = by_chance.front();
        auto const chain = by_chance.chain();
        auto const corners = corners_of(front), endings = endings_of(chain, front);
        index_t before = -1;
        for (index_t budget = 10; budget < 90; ++budget) {
            auto const plan = next_plan(chain, front, corners, endings, budget, {});
            if (!plan.is_there()) {
                if (before >= 0) FAIL("more memory, and nothing fits");
                continue;
            }
            if (before >= 0 && plan.cost > before) FAIL("more memory costs more");
            before = plan.cost;
            if (least_cost(chain, front, budget) > static_cast<double>(plan.cost) + 1e-6)
                FAIL("a plan below the bound of all");
        }
        auto const least = least_plan(chain, front);
        CHECK(least.is_there());
        if (before < 0) continue;
        CHECK(before == std::min_element(
                            front.options.begin(), front.options.begin() + front.size,
                            [](auto const& a, auto const& b) {
                                return a.cost < b.cost;
                            })->cost *
                            chain.blocks);
    }
}

TEST_CASE("of two neighbours the one that passes more goes first") {
    // Every assignment of options to blocks, in its order and in that of the front.
    chance by_chance;
    for (int i = 0; i < 300; ++i) {
        auto const front = by_chance.front();
        auto const L = static_cast<std::size_t>(2 + by_chance.below(4));
        auto const most_alive = [&](std::vector<std::size_t> const& chosen) {
            index_t kept = 0, most = 0;
            for (auto const option : chosen) {
                kept += front.options[option].kept;
                most = std::max(most, kept + front.options[option].transient);
            }
            return most;
        };
        std::vector<std::size_t> chosen(L);
        for (bool is_last = false; !is_last;) {
            auto sorted = chosen;
            std::sort(sorted.begin(), sorted.end());
            if (most_alive(sorted) > most_alive(chosen)) FAIL("another order needs less");
            std::size_t digit = 0;
            while (digit < L && ++chosen[digit] == static_cast<std::size_t>(front.size)) chosen[digit++] = 0;
            is_last = digit == L;
        }
    }
}

namespace {

/// Equal blocks x -> q -> m -> u -> the next x, with sizes 1, 3, 1, 8 or others, where x costs 16 and q, m, u 6, 7, 16.
/// Every step needs 1 beside what is alive. Backward reads u, m, q and x of each block, from the last.
struct toy_chain {
    static constexpr std::array<index_t, 3> cost{6, 7, 16};
    std::array<index_t, 3> size{3, 1, 8};
    index_t alive = 1, most = 0;

    void take(index_t amount) { most = std::max(most, (alive += amount) + 1); }
    static bool has(unsigned set, int value) { return (set >> value & 1) != 0; }
    /// `set`: what is there of a block.
    void compute(unsigned& set, int value) {
        if (has(set, value)) return;
        if (value > 0) compute(set, value - 1);
        take(size[static_cast<std::size_t>(value)]);
        set |= 1U << value;
    }
    void drop(unsigned& set, int value) {
        if (has(set, value)) alive -= size[static_cast<std::size_t>(value)];
        set &= ~(1U << value);
    }

    /// The most that is alive when blocks keep these sets.
    static index_t most_of(std::vector<unsigned> const& kept, std::array<index_t, 3> const& size) {
        toy_chain walk{size};
        for (std::size_t i = 0; i < kept.size(); ++i) {
            unsigned set = 0;
            compute_and_drop(walk, set, kept[i], i + 1 < kept.size());
        }
        for (auto i = kept.size(); i-- > 0;) {
            auto set = kept[i];
            for (int value : {2, 1}) {
                walk.compute(set, value);
                walk.take(0);
            }
            walk.drop(set, 2);
            walk.drop(set, 1);
            walk.compute(set, 0);
            walk.take(0);
            walk.drop(set, 0);
            walk.alive -= 1;
        }
        return walk.most;
    }
    static void compute_and_drop(toy_chain& walk, unsigned& set, unsigned kept, bool has_next) {
        walk.compute(set, 1);
        if (!has(kept, 0)) walk.drop(set, 0);
        walk.take(walk.size[2]);
        set |= 4;
        if (has_next) walk.take(1);
        for (int value : {2, 1})
            if (!has(kept, value)) walk.drop(set, value);
    }
};

option_front options_of_toy_chain(std::array<index_t, 3> const& size) {
    option_front front;
    for (unsigned kept = 0; kept < 8; ++kept) {
        keep_option option{kept, 1, 0, 0};
        for (int v = 0; v < 3; ++v)
            (toy_chain::has(kept, v) ? option.kept : option.cost) +=
                (toy_chain::has(kept, v) ? size : toy_chain::cost)[static_cast<std::size_t>(v)];
        option.transient = toy_chain::most_of({kept}, size) - option.kept;
        front.add(option);
    }
    front.sort();
    return front;
}

/// What each block keeps.
std::vector<unsigned> sets_of(block_chain const& chain, option_front const& front, group_plan const& plan) {
    std::vector<unsigned> kept;
    for (index_t i = 0; i < chain.blocks; ++i) {
        auto const option = plan.ending >= 0 && i + 1 == chain.blocks ? plan.ending
                            : i < plan.first_blocks                   ? plan.first
                                                                      : plan.second;
        kept.push_back(front.options[static_cast<std::size_t>(option)].mask);
    }
    return kept;
}

}  // namespace

TEST_CASE("the bound of a plan is never above what is alive, of 10,000 plans by chance") {
    chance by_chance;
    int exact = 0;
    for (int i = 0; i < 10'000; ++i) {
        std::array<index_t, 3> const size{1 + by_chance.below(9), 1 + by_chance.below(9),
                                          1 + by_chance.below(9)};
        auto const front = options_of_toy_chain(size);
        block_chain const chain{3 + by_chance.below(10), 0, 1, 0};
        auto const option = [&] { return static_cast<int>(by_chance.below(front.size)); };
        group_plan const plan{0, option(), option(), by_chance.below(2) == 0 ? -1 : option(),
                              1 + by_chance.below(chain.blocks - 2)};
        auto const bound = bound_of(chain, front, plan);
        auto const alive = toy_chain::most_of(sets_of(chain, front, plan), size);
        if (bound > alive)
            FAIL("plan " << i << " is said to need " << bound << ", and " << alive << " is enough");
        exact += bound == alive;
    }
    CHECK(exact > 1000);
}

// As cheaply as by any schedule: the costs were found by a search over all of them, which may drop and compute anything
// at any time.
TEST_CASE("three blocks are recomputed as cheaply as by any schedule") {
    std::array<index_t, 3> const size{3, 1, 8};
    auto const front = options_of_toy_chain(size);
    block_chain const chain{3, 0, 1, 0};
    auto const cheapest = [&](index_t budget) -> index_t {
        for (auto const& plan : all_found(chain, front, budget)) {
            auto const kept = sets_of(chain, front, plan);
            CHECK(bound_of(chain, front, plan) <= toy_chain::most_of(kept, size));
            if (toy_chain::most_of(kept, size) <= budget) return plan.cost;
        }
        return -1;
    };
    // From this budget to the next one.
    std::pair<index_t, index_t> const wanted[] = {{14, 57}, {15, 50}, {18, 44}, {21, 38}, {23, 34},
                                                  {24, 32}, {26, 28}, {29, 22}, {31, 18}, {32, 16},
                                                  {34, 12}, {37, 6},  {40, 0},  {44, 0}};
    CHECK(cheapest(13) < 0);
    for (std::size_t i = 0; i + 1 < std::size(wanted); ++i)
        for (auto budget = wanted[i].first; budget < wanted[i + 1].first; ++budget) {
            CAPTURE(budget);
            CHECK(cheapest(budget) == wanted[i].second);
        }
}
