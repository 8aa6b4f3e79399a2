// SPDX-License-Identifier: Apache-2.0
// A learning rate that is a function of one's own, in a trainer.
#include <catch2/catch.hpp>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <limits>
#include <snug/snug.hpp>
#include <stdexcept>
#include <vector>

namespace {

using namespace snug;

using tiny = models::llama<layers<1>, heads<2>, width<16>, mlp<16>, vocabulary<30>, context<8>>;
using run_type = trainer<tiny, batch<1, 8>>;

struct tokens {
    std::vector<std::int32_t> inputs{1, 5, 2, 9, 11, 3, 4, 29}, targets{5, 2, 9, 11, 3, 4, 29, 1};
    token_batch batch() const { return {inputs, targets}; }
};

template <class Run>
std::vector<float> all_weights(Run& run) {
    std::vector<float> all;
    for (auto const& entry : parameters<Run>) {
        auto const values = run.copy_of_weights(entry.name.view());
        all.insert(all.end(), values.begin(), values.end());
    }
    return all;
}

}  // namespace

TEST_CASE("a function of the step is asked once in every step, and a number is what it was") {
    run_type run, same;
    std::vector<snug::index_t> asked;
    run.options.learning_rate = [&](snug::index_t step) {
        asked.push_back(step);
        return 1e-2 / static_cast<double>(step);
    };
    tokens const data;
    for (int step = 1; step <= 3; ++step) {
        same.options.learning_rate = 1e-2 / step;
        CHECK(run.step(data.batch()).learning_rate == 1e-2 / step);
        same.step(data.batch());
    }
    CHECK(asked == std::vector<snug::index_t>{1, 2, 3});
    CHECK(all_weights(run) == all_weights(same));
}

TEST_CASE("a rate that no step can have is refused in that step, with nothing changed") {
    run_type run;
    tokens const data;
    auto const good = run.options.learning_rate;
    for (double const rate :
         {-1e-3, std::numeric_limits<double>::infinity(), std::numeric_limits<double>::quiet_NaN()}) {
        run.options.learning_rate = [=, next = run.steps() + 1](snug::index_t step) {
            return step <= next ? 1e-3 : rate;
        };
        CHECK(run.step(data.batch()).learning_rate == 1e-3);
        auto const before = all_weights(run);
        CHECK_THROWS_WITH(run.step(data.batch()),
                          Catch::Contains("in step " + std::to_string(run.steps() + 1)) &&
                              Catch::Contains("from the function in options.learning_rate, expected a finite "
                                              "number that is not negative"));
        CHECK(all_weights(run) == before);
    }
    auto const before = all_weights(run);
    run.options.learning_rate = [](snug::index_t) { return 20; };
    CHECK_THROWS_WITH(run.step(data.batch()),
                      Catch::Contains("options.learning_rate * options.weight_decay = 2"));
    // Of a schedule it is known before.
    run.options.learning_rate = schedule::linear{.peak = 20, .warm_up = 1000, .total = 2000};
    CHECK_THROWS_WITH(run.step(data.batch()),
                      Catch::Contains("options.learning_rate * options.weight_decay = 2"));
    run.options.learning_rate = [](snug::index_t) -> double { throw std::runtime_error("no rate today"); };
    CHECK_THROWS_WITH(run.step(data.batch()), "no rate today");
    CHECK(all_weights(run) == before);
    CHECK(run.steps() == 3);
    run.options.learning_rate = good;
    run.step(data.batch());
}

TEST_CASE("a resumed run goes on with the schedule that it is given, at the step that comes") {
    auto const path = (std::filesystem::temp_directory_path() / "snug_learning_rates.snapshot").string();
    tokens const data;
    run_type run;
    run.options.learning_rate = schedule::warm_up_stable_decay{.peak = 1e-3, .warm_up = 2, .decay = 2};
    for (int step = 0; step < 4; ++step) run.step(data.batch());
    run.save(path);
    run_type resumed(7);
    resumed.resume(path);
    CHECK(resumed.options.learning_rate(1) == 3e-4);  // a snapshot has no schedule
    resumed.options.learning_rate =
        schedule::warm_up_stable_decay{.peak = 1e-3, .warm_up = 2, .decay = 2, .total = 6};
    CHECK(resumed.step(data.batch()).learning_rate == 0.5e-3);
    CHECK(resumed.step(data.batch()).learning_rate == 0);
    std::remove(path.c_str());
}
