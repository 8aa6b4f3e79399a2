// SPDX-License-Identifier: Apache-2.0
// Learning rates over steps: the schedules against PyTorch's and transformers'
// (tests/reference/make_schedule_fixtures.py), and the numbers that they refuse.
#include <catch2/catch.hpp>
#include <cmath>
#include <limits>
#include <reference/fixture.hpp>
#include <snug/optimizers/schedule.hpp>
#include <string>
#include <vector>

namespace {

using snug::index_t;
using snug::schedule;
using shape = schedule::shape;

constexpr double peak = 3e-3;
constexpr index_t steps = 60, warm_up = 7, total = 50, decay = 20;

/// The rate of every step, as a fixture's tensor has them.
void compare(std::string const& name, schedule const& rates, index_t last = steps) {
    static snug_test::fixture const reference(std::string(SNUG_TEST_DATA) + "/schedules.fixture");
    auto const& expected = reference[name].values;
    REQUIRE(expected.size() == steps);
    rates.check();
    for (index_t step = 1; step <= last; ++step) {
        INFO(name << " in step " << step);
        // PyTorch's cyclic one adds up a fraction of a cycle.
        CHECK(std::abs(rates(step) - expected[static_cast<std::size_t>(step - 1)]) <= 1e-14 * peak);
        CHECK(rates(step) <= rates.largest());
    }
}

/// What the numbers of a schedule are refused with.
std::string refused(schedule const& rates) {
    try {
        rates.check();
    } catch (snug::error const& e) {
        return e.what();
    }
    return {};
}

}  // namespace

TEST_CASE("schedules are those of PyTorch and transformers") {
    compare("cosine", schedule::cosine{peak, warm_up, total, 0}, total);  // theirs rises again after it
    compare("linear", schedule::linear{peak, warm_up, total});
    compare("inverse_square_root", schedule::inverse_square_root{peak, warm_up});
    using wsd = schedule::warm_up_stable_decay;
    compare("wsd", wsd{peak, warm_up, decay, total});
    compare("wsd.linear", wsd{.peak = peak, .decay = decay, .total = total, .floor = 0.1});
    compare("wsd.cosine",
            wsd{.peak = peak, .decay = decay, .total = total, .floor = 0.1, .shape = shape::cosine});
    compare("wsd.one_minus_square_root", wsd{.peak = peak,
                                             .decay = decay,
                                             .total = total,
                                             .floor = 0.1,
                                             .shape = shape::one_minus_square_root});
    compare("cyclic", schedule::cyclic{.low = 1e-4, .peak = peak, .up = 8, .down = 5});
    compare("cyclic.shrinking",
            schedule::cyclic{.low = 1e-4, .peak = peak, .up = 9, .down = 9, .shrink = 0.5});
}

TEST_CASE("a schedule begins, turns and ends at the steps that it names") {
    schedule const cosine = schedule::warm_up_cosine(peak, warm_up, total, 0.1);
    CHECK(cosine(1) == peak * 1 / 7);
    CHECK(cosine(warm_up) == peak);
    CHECK(cosine(total) == peak * 0.1);
    CHECK(cosine(10 * total) == peak * 0.1);
    CHECK(cosine.largest() == peak);
    schedule const endless = schedule::warm_up_stable_decay{.peak = peak, .warm_up = warm_up, .decay = decay};
    CHECK(refused(endless).empty());
    CHECK(endless(1'000'000'000) == peak);
    schedule const ended =
        schedule::warm_up_stable_decay{.peak = peak, .warm_up = warm_up, .decay = decay, .total = total};
    CHECK(ended(total - decay) == peak);
    CHECK(ended(total - decay + 1) < peak);
    CHECK(ended(total) == 0);
    CHECK(schedule::inverse_square_root{peak, 100}(400) == peak / 2);
    schedule const waves = schedule::cyclic{.low = peak / 3, .peak = peak, .up = 4, .down = 6};
    CHECK(waves(4) == Approx(peak).epsilon(1e-15));
    CHECK(waves(10) == peak / 3);
    CHECK(waves(14) == waves(4));
}

TEST_CASE("a number is a constant schedule, and any function of the step is one") {
    schedule rates;
    CHECK(rates(1) == 3e-4);
    rates = 1e-3;
    CHECK(rates(1) == 1e-3);
    CHECK(rates(1'000'000) == 1e-3);
    CHECK(rates.largest() == 1e-3);
    rates = 1;
    CHECK(rates(5) == 1);
    std::vector<double> const table{0.3, 0.2, 0.1};
    rates = [table](index_t step) { return table[static_cast<std::size_t>(step - 1)]; };
    schedule const copied = rates;
    rates = [](index_t step) { return 1 / static_cast<float>(step); };
    CHECK(rates(4) == 0.25);
    CHECK(rates.largest() == 0);  // nobody knows
    CHECK(copied(2) == 0.2);
    CHECK(refused(copied).empty());
}

TEST_CASE("numbers that make no schedule are refused by name") {
    using Catch::Contains;
    constexpr auto infinity = std::numeric_limits<double>::infinity();
    for (double const rate : {-1e-3, infinity, -infinity, std::numeric_limits<double>::quiet_NaN()}) {
        CHECK_THAT(refused(rate), Contains("options.learning_rate = "));
        CHECK_THAT(refused(schedule::cosine{.peak = rate}), Contains("options.learning_rate.peak = "));
        CHECK_THAT(refused(schedule::cosine{.floor = rate}), Contains("options.learning_rate.floor = "));
        CHECK_THAT(refused(schedule::linear{.peak = rate, .total = 9}), Contains("learning_rate.peak = "));
        CHECK_THAT(refused(schedule::linear{.total = 9, .floor = rate}), Contains("learning_rate.floor = "));
        CHECK_THAT(refused(schedule::warm_up_stable_decay{.peak = rate}), Contains("learning_rate.peak = "));
        CHECK_THAT(refused(schedule::inverse_square_root{.peak = rate}), Contains("learning_rate.peak = "));
        CHECK_THAT(refused(schedule::cyclic{.low = rate}), Contains("learning_rate.low = "));
        CHECK_THAT(refused(schedule::cyclic{.peak = rate}), Contains("learning_rate.peak = "));
        CHECK_THAT(refused(schedule::cyclic{.shrink = rate}), Contains("learning_rate.shrink = "));
    }
    CHECK_THAT(refused(schedule::cosine{.peak = 1e300, .floor = 1e300}), Contains("peak * floor"));
    CHECK_THAT(refused(schedule::linear{}),
               Contains("total = 0, expected more steps than the 0 of the warm-up"));
    CHECK_THAT(refused(schedule::linear{.warm_up = 10, .total = 10}), Contains("total = 10"));
    CHECK_THAT(refused(schedule::linear{.warm_up = -1, .total = 10}), Contains("warm_up = -1"));
    CHECK_THAT(refused(schedule::warm_up_stable_decay{.warm_up = 4, .decay = 7, .total = 10}),
               Contains("total = 10, expected at least the 4 steps of the warm-up and the 7 of the decay"));
    CHECK_THAT(refused(schedule::warm_up_stable_decay{.total = -1}), Contains("total = -1"));
    CHECK_THAT(refused(schedule::warm_up_stable_decay{.decay = -1}), Contains("decay = -1"));
    CHECK_THAT(refused(schedule::inverse_square_root{.warm_up = 0}), Contains("warm_up = 0"));
    CHECK_THAT(refused(schedule::cyclic{.up = 0}), Contains("up = 0"));
    CHECK_THAT(refused(schedule::cyclic{.down = -3}), Contains("down = -3"));
    CHECK_THAT(refused(schedule::cyclic{.shrink = 2}), Contains("shrink = 2, expected from 0 to 1"));
}
