// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <omp.h>
#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <cstring>
#include <snug/snug.hpp>
#include <utility>

#include "calls.hpp"
#include "compositions.hpp"
#include "guarded.hpp"

namespace test {

/// A trainer that runs; construction is watched.
class running {
  public:
    virtual ~running() = default;
    virtual snug::step_result step(snug::token_batch const& batch) = 0;
    virtual snug::bytes allocated() const = 0;
    tally calls_of_construction{};
};

template <class Trainer>
class running_trainer final : public running {
  public:
    running_trainer() { calls_of_construction = calls() - before_; }
    snug::step_result step(snug::token_batch const& batch) override { return trainer_.step(batch); }
    snug::bytes allocated() const override { return trainer_.allocated(); }

  private:
    tally before_ = calls();
    Trainer trainer_;
};

template <class Trainers>
std::vector<subject> trainers_of() {
    return described<Trainers>([]<class Trainer> {
        auto result = describe<Trainer>();
        result.start = [] { return std::unique_ptr<running>(std::make_unique<running_trainer<Trainer>>()); };
        return result;
    });
}

/// Tokens that depend on nothing but the step; every seventh target is not counted.
struct tokens_of_step {
    std::vector<std::int32_t> inputs, targets;
    tokens_of_step(subject const& s, int step) {
        auto const seed = static_cast<std::uint64_t>(step);
        auto const vocabulary = static_cast<std::uint64_t>(s.vocabulary);
        for (std::uint64_t i = 0; i < static_cast<std::uint64_t>(s.tokens); ++i) {
            inputs.push_back(static_cast<std::int32_t>(snug::random::bits(seed, 0, i) % vocabulary));
            targets.push_back(
                i % 7 == 3 ? -1 : static_cast<std::int32_t>(snug::random::bits(seed, 1, i) % vocabulary));
        }
    }
    snug::token_batch batch() const { return {inputs, targets}; }
};

/// What a step may find when it starts: weights and what belongs to them.
inline bool outlives_a_step(snug::declaration const& d) {
    return d.line == snug::role::weight || d.line == snug::role::master_weight ||
           d.line == snug::role::gradient || d.line == snug::role::optimizer_state;
}

/// What is left after a few steps: losses and norms, then weights and what belongs to them.
struct history {
    std::vector<double> numbers;
    std::vector<std::byte> state;
};

/// What outlives a step, one array after the other.
inline std::vector<std::byte> state_of(subject const& s, guarded_seam const& seam) {
    std::vector<std::byte> state;
    for (std::size_t i = 0; i < s.declarations.size(); ++i)
        if (outlives_a_step(s.declarations[i])) {
            auto const* const begin = seam.memory(s.declarations[i].where) + s.offsets[i];
            state.insert(state.end(), begin, begin + s.declarations[i].size().count);
        }
    return state;
}

inline constexpr int steps_of_a_history = 3;

template <class BeforeStep>
history run_steps(subject const& s, running& run, guarded_seam const& seam, BeforeStep before_step) {
    history result;
    for (int i = 0; i < steps_of_a_history; ++i) {
        tokens_of_step const data(s, i);
        before_step(i);
        auto const done = run.step(data.batch());
        result.numbers.push_back(done.loss);
        result.numbers.push_back(done.gradient_norm);
    }
    result.state = state_of(s, seam);
    return result;
}

inline bool same_bits(history const& a, history const& b) {
    return a.numbers.size() == b.numbers.size() && a.state.size() == b.state.size() && !a.state.empty() &&
           std::memcmp(a.numbers.data(), b.numbers.data(), a.numbers.size() * sizeof(double)) == 0 &&
           std::memcmp(a.state.data(), b.state.data(), a.state.size()) == 0;
}

/// So many threads from here on, which have been started: OpenMP does that when they are needed first.
inline void use_threads(int count) {
    omp_set_num_threads(count);
    int started = 0;
#pragma omp parallel reduction(+ : started)
    ++started;
    REQUIRE(started == count);
}

/// Construction makes one call, of the plan's size, and one for what is paged; a step makes none.
inline void check_allocations(subject const& s) {
    INFO(s.name);
    for (int threads : {1, 2}) {
        INFO(threads << " threads");
        use_threads(threads);
        auto const run = s.start();
        CHECK(run->allocated() == s.bill.total + s.bill.paged);
        tally expected{};
        if (SNUG_TEST_COUNTS_CALLS)
            expected.calls[static_cast<std::size_t>(call::posix_memalign)] = s.bill.paged.count > 0 ? 2 : 1;
        CHECK(run->calls_of_construction == expected);
        tokens_of_step const data(s, 0);
        auto const before = calls();
        run->step(data.batch());
        run->step(data.batch());
        CHECK(calls() - before == tally{});
    }
}

/// The seam is asked once for each memory, for the plan's size; nothing is written outside; and a step reads nothing
/// but the state and what it has written itself: filling everything else with junk before every step changes no bit.
inline void check_memory(subject const& s) {
    INFO(s.name);
    auto const allocations = s.bill.paged.count > 0 ? 2 : 1;
    guarded_seam seam;
    use_threads(2);
    auto const undisturbed = [&] {
        auto const run = s.start();
        return run_steps(s, *run, seam, [](int) {});
    }();
    CHECK(seam.allocations() == allocations);
    CHECK(seam.size() == static_cast<std::size_t>(s.bill.total.count));
    CHECK(seam.size(snug::space::host_memory) == static_cast<std::size_t>(s.bill.paged.count));
    CHECK(seam.releases() == allocations);
    CHECK(seam.guards_are_whole());

    // NaNs are swallowed by a comparison, a large number by none: one after the other.
    constexpr std::byte junk[] = {guarded_seam::nan_byte, std::byte{0x7E}};
    use_threads(1);
    auto const run = s.start();
    std::array<std::vector<bool>, snug::spaces> kept;
    for (auto const space : {snug::space::device_memory, snug::space::host_memory})
        kept[static_cast<std::size_t>(space)].resize(seam.size(space));
    for (std::size_t i = 0; i < s.declarations.size(); ++i) {
        auto const& d = s.declarations[i];
        if (outlives_a_step(d))
            std::fill_n(kept[static_cast<std::size_t>(d.where)].begin() + s.offsets[i], d.size().count, true);
    }
    auto const disturbed = run_steps(s, *run, seam, [&](int step) {
        for (auto const space : {snug::space::device_memory, snug::space::host_memory}) {
            auto const& its = kept[static_cast<std::size_t>(space)];
            for (std::size_t i = 0; i < its.size(); ++i)
                if (!its[i]) seam.memory(space)[i] = junk[step % 2];
        }
    });
    CHECK(same_bits(disturbed, undisturbed));
    CHECK(std::none_of(disturbed.numbers.begin(), disturbed.numbers.end(),
                       [](double x) { return std::isnan(x); }));
    CHECK(seam.guards_are_whole());
}

}  // namespace test
