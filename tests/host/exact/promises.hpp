// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <omp.h>
#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <cstring>
#include <limits>
#include <utility>

#include "compositions.hpp"
#include "guarded.hpp"

namespace test {

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

inline snug::index_t padded(snug::declaration const& d) {
    return snug::round_up(d.size().count, snug::buffer_alignment);
}

/// Every line of the bill, recomputed from what it stands for.
inline void check_bill(subject const& s) {
    INFO(s.name);
    auto const line = [&](auto is_on_it) {
        snug::index_t total = 0;
        for (auto const& d : s.declarations)
            if (is_on_it(d)) total += d.size().count;
        return total;
    };
    auto const declared = [&](snug::role role) {
        return line([=](auto const& d) { return d.line == role; });
    };
    CHECK(s.bill.weights.count == s.weights);
    CHECK(s.bill.master_weights.count == s.parameters * s.master_size);
    CHECK(s.bill.gradients.count == s.parameters * s.gradient_size);
    CHECK(s.bill.optimizer_state.count == s.states);
    CHECK(s.bill.paged.count == s.paged_states);
    CHECK(s.bill.activations.count == declared(snug::role::activation));
    CHECK(s.bill.staging.count == declared(snug::role::staging));
    CHECK(s.bill.communication.count == 0);
    snug::index_t padding = 0;
    for (auto const& d : s.declarations)
        if (d.line != snug::role::paged) padding += padded(d) - d.size().count;
    CHECK(s.bill.workspace.count == declared(snug::role::workspace) + padding);
    CHECK(s.bill.activations.count > 0);
    CHECK(s.bill.total <= s.bill.sum());
}

/// At some position of the step both hold something. Counted out, unlike the plan's own way.
inline bool both_needed(snug::lifetime const& a, snug::lifetime const& b) {
    auto const needed = [](snug::lifetime const& one, int position) {
        return one.forever ||
               std::any_of(one.intervals.begin(), one.intervals.begin() + one.count,
                           [=](auto span) { return span.first <= position && position <= span.last; });
    };
    auto const end = [](snug::lifetime const& one) {
        int last = 0;
        for (auto const& span : one.intervals) last = std::max(last, span.last);
        return last;
    };
    // What is needed after the last call of a layer stands at a position far behind.
    for (int position = -1; position <= std::min(std::max(end(a), end(b)), 100000); ++position)
        if (needed(a, position) && needed(b, position)) return true;
    return needed(a, std::numeric_limits<int>::max()) && needed(b, std::numeric_limits<int>::max());
}

/// Buffers lie inside the allocation, and apart whenever both are needed.
inline void check_layout(subject const& s) {
    INFO(s.name);
    snug::index_t end = 0;
    int outside = 0, clashes = 0, sharing = 0;
    for (std::size_t i = 0; i < s.declarations.size(); ++i) {
        auto const& a = s.declarations[i];
        if (a.size().count == 0 || a.line == snug::role::paged) continue;
        auto const a_end = s.offsets[i] + a.size().count;
        outside +=
            s.offsets[i] < 0 || s.offsets[i] % snug::buffer_alignment != 0 || a_end > s.bill.total.count;
        outside += !a.alive.forever && a.alive.count == 0;
        end = std::max(end, s.offsets[i] + padded(a));
        for (std::size_t j = 0; j < i; ++j) {
            auto const& b = s.declarations[j];
            bool const apart = a_end <= s.offsets[j] || s.offsets[j] + b.size().count <= s.offsets[i];
            if (b.size().count == 0 || b.line == snug::role::paged || apart) continue;
            ++sharing;
            clashes += both_needed(a.alive, b.alive);
        }
    }
    CHECK(outside == 0);
    CHECK(clashes == 0);
    CHECK(sharing > 0);
    CHECK(end == s.bill.total.count);
}

/// What is left after a few steps: losses and norms, then weights and what belongs to them.
struct history {
    std::vector<double> numbers;
    std::vector<std::byte> state;
};

inline constexpr int steps_of_a_history = 3;

template <class BeforeStep>
history run_steps(subject const& s, running& run, std::byte const* memory, BeforeStep before_step) {
    history result;
    for (int i = 0; i < steps_of_a_history; ++i) {
        tokens_of_step const data(s, i);
        before_step(i);
        auto const done = run.step(data.batch());
        result.numbers.push_back(done.loss);
        result.numbers.push_back(done.gradient_norm);
    }
    for (std::size_t i = 0; i < s.declarations.size(); ++i)
        if (outlives_a_step(s.declarations[i]))
            result.state.insert(result.state.end(), memory + s.offsets[i],
                                memory + s.offsets[i] + s.declarations[i].size().count);
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

/// The seam is asked once, for the plan's size; nothing is written outside; and a step reads nothing but the state and
/// what it has written itself: filling everything else with junk before every step changes no bit.
inline void check_memory(subject const& s) {
    if (s.bill.paged.count > 0) return;  // the same steps as without paging: tests/host/optimizers/states.cpp
    INFO(s.name);
    guarded_seam seam;
    use_threads(2);
    auto const undisturbed = [&] {
        auto const run = s.start();
        return run_steps(s, *run, seam.memory(), [](int) {});
    }();
    CHECK(seam.allocations() == 1);
    CHECK(seam.size() == static_cast<std::size_t>(s.bill.total.count));
    CHECK(seam.releases() == 1);
    CHECK(seam.guards_are_whole());

    // NaNs are swallowed by a comparison, a large number by none: one after the other.
    constexpr std::byte junk[] = {guarded_seam::nan_byte, std::byte{0x7E}};
    use_threads(1);
    auto const run = s.start();
    std::vector<bool> kept(static_cast<std::size_t>(s.bill.total.count));
    for (std::size_t i = 0; i < s.declarations.size(); ++i)
        if (outlives_a_step(s.declarations[i]))
            std::fill_n(kept.begin() + s.offsets[i], s.declarations[i].size().count, true);
    auto const disturbed = run_steps(s, *run, seam.memory(), [&](int step) {
        for (std::size_t i = 0; i < kept.size(); ++i)
            if (!kept[i]) seam.memory()[i] = junk[step % 2];
    });
    CHECK(same_bits(disturbed, undisturbed));
    CHECK(std::none_of(disturbed.numbers.begin(), disturbed.numbers.end(),
                       [](double x) { return std::isnan(x); }));
    CHECK(seam.guards_are_whole());
}

}  // namespace test
