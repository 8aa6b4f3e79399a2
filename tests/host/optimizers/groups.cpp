// SPDX-License-Identifier: Apache-2.0
// Learning rates and weight decay of some of the parameters, by name.
#include <catch2/catch.hpp>
#include <cmath>
#include <host/exact/calls.hpp>
#include <limits>
#include <reference/fixture.hpp>
#include <snug/snug.hpp>
#include <string>
#include <vector>

namespace {

using namespace snug;
using optimizers::adamw;
using optimizers::lion;
using optimizers::paged;
using optimizers::states;

using gpt2 = models::gpt2<layers<3>, heads<2>, width<8>, vocabulary<13>, context<8>>;
using run_type = trainer<gpt2, batch<1, 8>>;
// Matrices of the blocks keep their states in blocks of codes, and have more than one.
using wide = models::llama<layers<3>, heads<4>, width<64>, mlp<100>, vocabulary<13>, context<8>>;
template <class... Policies>
using wide_run = trainer<wide, batch<1, 8>, Policies...>;

struct tokens {
    std::vector<std::int32_t> inputs{1, 5, 2, 9, 11, 3, 4, 12}, targets{5, 2, 9, 11, 3, 4, 12, 1};
    token_batch batch() const { return {inputs, targets}; }
};

/// What changes the options is refused with, before a step.
template <class Run, class F>
std::string refused(Run& run, F const& change) {
    auto const good = run.options;
    change(run.options);
    std::string words;
    try {
        run.step(tokens().batch());
    } catch (snug::error const& e) {
        words = e.what();
    }
    run.options = good;
    return words;
}

/// The weights after one step, parameter by parameter.
template <class Run>
auto after_a_step(double rate, std::vector<parameter_group> const& groups) {
    Run run;
    run.options.learning_rate = rate;
    run.options.groups = groups;
    run.step(tokens().batch());
    std::vector<std::vector<typename Run::weight_type>> all;
    for (auto const& entry : parameters<Run>) all.push_back(run.copy_of_weights(entry.name.view()));
    return all;
}

/// A step in which the rate of the middle block is a half is, block by block, the step at one rate or the other.
template <class... Policies>
void check_blocks() {
    using run = wide_run<Policies...>;
    auto const whole = after_a_step<run>(1e-2, {});
    auto const half = after_a_step<run>(0.5e-2, {});
    auto const mixed = after_a_step<run>(1e-2, {{.where = "blocks.1.*", .learning_rate = 0.5}});
    for (std::size_t p = 0; p < mixed.size(); ++p) {
        auto const& entry = parameters<run>[p];
        INFO(entry.name.view());
        std::size_t wrong = 0;
        for (std::size_t i = 0; i < mixed[p].size(); ++i) {
            bool const is_half = entry.is_repeated() && static_cast<snug::index_t>(i) / entry.count == 1;
            auto const expected = is_half ? half[p][i] : whole[p][i];
            wrong += static_cast<float>(mixed[p][i]) != static_cast<float>(expected);
        }
        CHECK(wrong == 0);
    }
    CHECK(mixed != whole);
    CHECK(mixed != half);
    CHECK(after_a_step<run>(1e-2, {{.where = "*", .learning_rate = 0.5}}) == half);
}

}  // namespace

TEST_CASE("a pattern is of whole names, with any characters and ranges of blocks") {
    using optimizers::patterns::matches;
    CHECK(matches("*", "blocks.0.qkv.weight"));
    CHECK(matches("blocks.0.*", "blocks.0.qkv.weight"));
    CHECK_FALSE(matches("blocks.1.*", "blocks.11.qkv.weight"));
    CHECK(matches("*.bias", "blocks.0.qkv.bias"));
    CHECK_FALSE(matches("*.bias", "blocks.0.qkv.bias2"));
    CHECK_FALSE(matches("qkv", "blocks.0.qkv.weight"));
    CHECK(matches("*qkv*", "blocks.0.qkv.weight"));
    CHECK(matches("*norm*.weight", "blocks.0.norm1.weight"));
    CHECK(matches("norm.weight", "norm.weight"));
    CHECK_FALSE(matches("norm.weight", "norm.weights"));
    CHECK_FALSE(matches("", "norm.weight"));
    for (int block = 0; block < 14; ++block) {
        auto const name = "blocks." + std::to_string(block) + ".up.weight";
        CHECK(matches("blocks.3-11.*", name) == (block >= 3 && block <= 11));
        CHECK(matches("blocks.2-2.up.weight", name) == (block == 2));
        CHECK(matches("*.10-12.up.*", name) == (block >= 10 && block <= 12));
    }
    CHECK(matches("blocks.5-11.*", "blocks.5-11.up.weight"));  // as some checkpointing calls several blocks
    CHECK_FALSE(matches("blocks.3-.*", "blocks.3.up.weight"));
    CHECK_FALSE(matches("blocks.99999999999999999999-3.*", "blocks.3.up.weight"));
    std::string const many(40, 'a');
    CHECK_FALSE(matches("*a*a*a*a*a*a*a*a*a*a*a*a*b", many + many));
}

TEST_CASE("five steps with groups are those of PyTorch with a group for every tensor") {
    snug_test::fixture const reference(std::string(SNUG_TEST_DATA) + "/groups.fixture");
    run_type run;
    run.options.learning_rate = 1e-2;
    run.options.largest_gradient_norm = 0;
    run.options.groups = {{.where = "blocks.0.*", .learning_rate = 0.25},
                          {.where = "blocks.1-1.*", .learning_rate = 0.5},
                          {.where = "embedding.*", .learning_rate = 0.125, .weight_decay = 0.0},
                          {.where = "*norm*", .weight_decay = 0.05},
                          {.where = "*.bias", .weight_decay = 0.0},
                          {.where = "blocks.up.weight", .learning_rate = 3.0}};
    auto const of_all_copies = [&](std::string const& prefix, parameter_entry const& entry) {
        std::vector<float> all;
        for (snug::index_t copy = 0; copy < entry.copies; ++copy)
            for (auto const value : reference[prefix + entry.full_name(copy)].values)
                all.push_back(static_cast<float>(value));
        return all;
    };
    for (auto const& entry : parameters<run_type>)
        run.set_weights(entry.name.view(), of_all_copies("initial.", entry));
    for (int step = 0; step < 5; ++step) {
        auto const result = run.accumulate(tokens().batch());
        for (int p = 0; p < run_type::composition::parameters; ++p) {
            auto const given =
                of_all_copies("gradient." + std::to_string(step) + ".", run_type::composition::entry(p));
            std::copy(given.begin(), given.end(), run.store().gradients(p).begin());
        }
        CHECK(run.update(result).learning_rate == 1e-2);
    }
    for (auto const& entry : parameters<run_type>) {
        auto const expected = of_all_copies("final.", entry);
        auto const found = run.copy_of_weights(entry.name.view());
        double largest = 0;
        for (std::size_t i = 0; i < found.size(); ++i)
            largest = std::max(largest, std::abs(double(found[i]) - double(expected[i])));
        INFO(entry.name.view());
        CHECK(largest <= 1e-6);
    }
}

TEST_CASE("blocks with other numbers are updated to the same bits as all blocks with these") {
    check_blocks<>();
    check_blocks<paged<lion<states<snug::int8>>>>();
    check_blocks<adamw<states<snug::int8>>, precision::mixed<bf16>>();
    check_blocks<precision::pure<bf16>>();
}

TEST_CASE("a factor of 16 for B is LoRA+") {
    using run = trainer<wide, batch<1, 8>, adapters::lora<rank<2>>>;
    auto const plain = after_a_step<run>(1e-3, {});
    auto const faster = after_a_step<run>(1e-3, {{.where = "*.lora_B", .learning_rate = 16.0}});
    std::size_t compared = 0;
    for (std::size_t p = 0; p < plain.size(); ++p) {
        auto const name = parameters<run>[p].name.view();
        INFO(name);
        bool const is_b = name.ends_with("lora_B");
        for (std::size_t i = 0; i < plain[p].size(); ++i, compared += is_b)
            if (faster[p][i] != (is_b ? 16 : 1) * plain[p][i]) FAIL("element " << i);
    }
    CHECK(compared > 0);
    run frozen;
    CHECK_THAT(refused(frozen, [](auto& o) { o.groups = {{.where = "embedding.*", .learning_rate = 2.0}}; }),
               Catch::Contains("options.groups[0].where = \"embedding.*\", of which nothing trains"));
}

TEST_CASE("a group that no step can mean is refused by its number, with the nearest name") {
    run_type run;
    using Catch::Contains;
    auto const words = [&](std::vector<parameter_group> const& groups) {
        return refused(run, [&](auto& o) { o.groups = groups; });
    };
    CHECK_THAT(
        words({{.where = "*"}, {.where = "*.qkv.bais", .weight_decay = 0.0}}),
        Contains("options.groups[1].where = \"*.qkv.bais\", which no parameter of the model is called") &&
            Contains("such as \"blocks.0.qkv.bias\""));
    CHECK_THAT(words({{.where = "blocks.3.up.*"}}), Contains("such as \"blocks.0.up.weight\""));
    CHECK_THAT(words({{.where = "embeding.table"}}), Contains("such as \"embedding.table\""));
    CHECK_THAT(words({{.where = ""}}), Contains("options.groups[0].where = \"\""));
    for (double const number :
         {-1.0, std::numeric_limits<double>::infinity(), std::numeric_limits<double>::quiet_NaN()}) {
        CHECK_THAT(words({{.where = "*", .learning_rate = number}}),
                   Contains("options.groups[0].learning_rate = "));
        CHECK_THAT(words({{.where = "*"}, {.where = "*", .weight_decay = number}}),
                   Contains("options.groups[1].weight_decay = "));
    }
    CHECK_THAT(words({{.where = "blocks.1.qkv.bias", .learning_rate = 1e4, .weight_decay = 1.0}}),
               Contains("blocks.1.qkv.bias") && Contains("learning rate * weight decay = 3"));
    CHECK(run.steps() == 0);
    // Nothing decays where the rate is 0.
    CHECK(words({{.where = "*", .learning_rate = 0.0, .weight_decay = 1e6}}).empty());
}

TEST_CASE("a step with groups and a function of the step allocates nothing") {
    wide_run<> run;
    run.options.groups = {{.where = "blocks.0-1.*", .learning_rate = 0.5},
                          {.where = "*norm*", .weight_decay = 0.1}};
    run.options.learning_rate = [table = std::vector<double>(10, 1e-3)](snug::index_t step) {
        return table[static_cast<std::size_t>(step)];
    };
    tokens const data;
    run.step(data.batch());
    auto const before = test::calls();
    run.step(data.batch());
    run.step(data.batch());
    CHECK(test::calls() - before == test::tally{});
}
