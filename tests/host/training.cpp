// SPDX-License-Identifier: Apache-2.0
// The parts of a loop around a trainer.
#include <catch2/catch.hpp>

#include <cmath>
#include <limits>
#include <snug/io/json.hpp>
#include <snug/snug.hpp>
#include <snug/training.hpp>

#include "io/faults.hpp"

using namespace snug::training;
using Catch::Matchers::Contains;

namespace {

constexpr double infinite = std::numeric_limits<double>::infinity();

std::string text_of_file(std::string const& path) {
    snug::io::mapping const file(path);
    return {reinterpret_cast<char const*>(file.bytes().data()), file.bytes().size()};
}

using tiny = snug::trainer<snug::models::gpt2<snug::layers<2>, snug::heads<2>, snug::width<8>,
                                              snug::vocabulary<17>, snug::context<8>>,
                           snug::batch<1, 8>>;

}  // namespace

TEST_CASE("metrics are a line for each step, with all digits") {
    test::scratch directory;
    std::string const csv = directory / "metrics.csv", json = directory / "metrics.jsonl";
    for (auto const& path : {csv, json}) {
        metrics_file file(path, {"loss", "validation_loss", "tokens"});
        file.write(1, {1.0 / 3, std::nullopt, 2048});
        file.write(2, {0.1, 2.5, 123456789012});
        file.write(3, {infinite, 1e-30, 0});
    }
    CHECK(text_of_file(csv) ==
          "step,loss,validation_loss,tokens\n1,0.3333333333333333,,2048\n2,0.1,2.5,123456789012\n3,inf,1e-30,"
          "0\n");
    CHECK(text_of_file(json) ==
          "{\"step\":1,\"loss\":0.3333333333333333,\"validation_loss\":null,\"tokens\":2048}\n"
          "{\"step\":2,\"loss\":0.1,\"validation_loss\":2.5,\"tokens\":123456789012}\n"
          "{\"step\":3,\"loss\":null,\"validation_loss\":1e-30,\"tokens\":0}\n");
    metrics_file file(csv, {"loss"});
    CHECK_THAT(test::refusal([&] {
                   file.write(1, {1.0, 2.0});
               }),
               Contains("2 numbers") && Contains("1, as many"));
    for (std::string const name : {"", "a,b", "a\"b", "a\nb"})
        CHECK_THAT(test::refusal([&] { metrics_file(json, {name}); }), Contains("a metric called"));
}

TEST_CASE("metrics go on behind the step that a snapshot has, whatever a killed run left") {
    test::scratch directory;
    for (std::string const name : {"metrics.csv", "metrics.jsonl"}) {
        INFO(name);
        auto const path = directory / name;
        {
            metrics_file file(path, {"loss", "seconds"});
            for (int step = 1; step <= 5; ++step) file.write(step, {10.0 / step, step * 1.5});
            CHECK_FALSE(file.last("seconds"));
        }
        auto const whole = text_of_file(path);
        {
            snug::io::append_file cut(path);
            cut.write(name == "metrics.csv" ? "6,1" : "{\"step\":6,\"lo");
        }
        metrics_file file(path, {"loss", "seconds"}, 3);
        CHECK(file.last("seconds") == 4.5);
        CHECK(file.last("loss") == 10.0 / 3);
        CHECK_FALSE(file.last("another"));
        for (int step = 4; step <= 5; ++step) file.write(step, {10.0 / step, step * 1.5});
        CHECK(text_of_file(path) == whole);
    }
    CHECK_THAT(test::refusal([&] { metrics_file(directory / "metrics.csv", {"loss"}, 3); }),
               Contains("metrics of \"step,loss,seconds\"") && Contains("\"step,loss\""));
    CHECK(text_of_file(directory / "metrics.csv").starts_with("step,loss,seconds\n1,"));
    metrics_file anew(directory / "metrics.csv", {"loss"});
    CHECK(text_of_file(directory / "metrics.csv") == "step,loss\n");
}

TEST_CASE("the best loss of validation, and how long ago it was") {
    best_loss best;
    CHECK(best.is_improved_by(3.0));
    CHECK(best.is_improved_by(2.9));
    CHECK_FALSE(best.is_improved_by(2.9));
    CHECK_FALSE(best.is_improved_by(std::nan("")));
    CHECK(best.since == 2);
    CHECK_FALSE(best.is_improved_by(2.85, 0.1));
    CHECK(best.since == 3);
    CHECK(best.is_improved_by(2.7, 0.1));
    CHECK(best.since == 0);
    CHECK(best.loss == 2.7);
}

TEST_CASE("norms of each parameter's gradient and of its update") {
    tiny run(3);
    std::vector<std::int32_t> const inputs{1, 2, 3, 4, 5, 6, 7, 8}, targets{2, 3, 4, 5, 6, 7, 8, 9};
    auto const passes = run.accumulate({inputs, targets});
    auto const gradients = gradient_norms(run);
    REQUIRE(gradients.size() == tiny::composition::parameter_table.entries.size());
    double sum = 0;
    for (auto const& [name, norm] : gradients) {
        CHECK(norm > 0);
        sum += norm * norm;
    }
    moved_weights const moved(run);
    for (auto const& [name, norm] : moved.norms()) CHECK(norm == 0);
    auto const result = run.update(passes);
    // Gradients are of the mean over the counted tokens, as they are accumulated.
    CHECK(std::sqrt(sum) == Approx(result.gradient_norm).epsilon(1e-5));
    auto const updates = moved.norms();
    REQUIRE(updates.size() == gradients.size());
    for (std::size_t i = 0; i < updates.size(); ++i) {
        CHECK(updates[i].name == gradients[i].name);
        CHECK(updates[i].norm > 0);
    }
    auto const now = run.copy_of_weights("norm.weight");
    double difference = 0;
    for (auto const w : now) difference += (double(w) - 1) * (double(w) - 1);
    auto const its =
        std::find_if(updates.begin(), updates.end(), [](auto const& u) { return u.name == "norm.weight"; });
    CHECK(its->norm == Approx(std::sqrt(difference)));
}
