// SPDX-License-Identifier: Apache-2.0
// Blocks that differ by range and in turn.
#include <catch2/catch.hpp>

#include <algorithm>
#include <map>
#include <snug/snug.hpp>
#include <string>
#include <vector>

#include "../io/faults.hpp"

namespace {

using namespace snug;

constexpr index_t width = 32, vocabulary = 61, context = 16;

template <index_t Heads, class Activation>
using block_of = sequence<residual<named<"norm1", rms_norm<width>>, named<"qkv", linear<width, 3 * width>>,
                                   named<"attention", causal_attention<Heads, Heads, width / Heads>>,
                                   named<"projection", linear<width, width>>>,
                          residual<named<"norm2", rms_norm<width>>, named<"up", linear<width, 2 * width>>,
                                   named<"activation", Activation>, named<"down", linear<2 * width, width>>>>;
using a = block_of<4, gelu<2 * width>>;
using b = block_of<2, gelu<2 * width>>;

template <class Blocks>
struct model_of
    : stack<named<"embedding", embedding<vocabulary, width, context>>, named<"blocks", Blocks>,
            named<"norm", rms_norm<width>>, named<"head", head_with_loss<width, vocabulary, true>>> {};

using plain = model_of<repeat<6, a>>;
using in_ranges = model_of<ranges<repeat<2, a>, repeat<4, a>>>;
using in_turn = model_of<repeat<3, alternating<a, a>>>;
using nested = model_of<ranges<repeat<1, a>, repeat<2, alternating<a, a>>, repeat<1, a>>>;

using cheap_in_a_row =
    model_of<repeat<3, sequence<residual<named<"norm", rms_norm<width>>, named<"activation", gelu<width>>,
                                         named<"last", linear<width, width>>>>>>;

template <class Model, class... Policies>
using trained = trainer<Model, batch<2, 8>, Policies...>;

template <class Run>
std::vector<std::string> names_of() {
    std::vector<std::string> names;
    for (auto const& entry : parameters<Run>)
        for (index_t copy = 0; copy < entry.copies; ++copy) names.push_back(entry.full_name(copy));
    return names;
}

/// Every copy of every parameter, by its full name.
template <class Run>
std::map<std::string, std::vector<float>> weights_of(Run& run) {
    std::map<std::string, std::vector<float>> all;
    for (auto const& entry : parameters<Run>) {
        auto const values = run.weights(entry.name.view());
        for (index_t copy = 0; copy < entry.copies; ++copy) {
            auto const first = values.begin() + copy * entry.count;
            all[entry.full_name(copy)].assign(first, first + entry.count);
        }
    }
    return all;
}

template <class Run>
void give_weights(Run& run, std::map<std::string, std::vector<float>> const& all) {
    for (auto const& entry : parameters<Run>) {
        auto const values = run.weights(entry.name.view());
        for (index_t copy = 0; copy < entry.copies; ++copy) {
            auto const& given = all.at(entry.full_name(copy));
            std::copy(given.begin(), given.end(), values.begin() + copy * entry.count);
        }
    }
    run.weights_changed();
}

struct lesson {
    std::vector<std::int32_t> inputs, targets;
    explicit lesson(int step) {
        for (int i = 0; i < 16; ++i) {
            inputs.push_back((i * 7 + step * 5) % static_cast<int>(vocabulary));
            targets.push_back((i * 3 + step) % static_cast<int>(vocabulary));
        }
    }
    token_batch batch() const { return {inputs, targets}; }
};

/// Losses and gradient norms of some steps, and the weights after them.
template <class Run>
auto history_of(Run& run) {
    std::vector<double> numbers;
    for (int step = 0; step < 4; ++step) {
        lesson const data(step);
        auto const done = run.step(data.batch());
        numbers.push_back(done.loss);
        numbers.push_back(done.gradient_norm);
    }
    return std::pair(numbers, weights_of(run));
}

}  // namespace

TEST_CASE("blocks of several kinds have one numbering in the names of their parameters") {
    auto sorted = [](std::vector<std::string> names) {
        std::sort(names.begin(), names.end());
        return names;
    };
    auto const expected = sorted(names_of<trained<plain>>());
    CHECK(sorted(names_of<trained<in_ranges>>()) == expected);
    CHECK(sorted(names_of<trained<in_turn>>()) == expected);
    CHECK(sorted(names_of<trained<nested>>()) == expected);
    CHECK(std::binary_search(expected.begin(), expected.end(), "blocks.5.down.bias"));
    CHECK(parameters<trained<in_turn>>[2].name.view() == "blocks.0+2.norm1.weight");
    CHECK(parameters<trained<nested>>[2].name_in_block() == "norm1.weight");
}

TEMPLATE_TEST_CASE("blocks of one kind give the bits of a plain repeat, in ranges and in turn", "", in_ranges,
                   in_turn, nested) {
    trained<plain> reference(3);
    auto const weights = weights_of(reference);
    auto const expected = history_of(reference);
    {
        trained<TestType> run;
        give_weights(run, weights);
        CHECK(history_of(run) == expected);
    }
    {
        trained<TestType, checkpointing::every_block> run;
        give_weights(run, weights);
        CHECK(history_of(run) == expected);
    }
    trained<TestType> run;
    give_weights(run, weights);
    trained<plain> other;
    give_weights(other, weights);
    std::vector<std::int32_t> const prompt{1, 2, 3};
    CHECK(run.generate(prompt, {.tokens = 4, .temperature = 0}) ==
          other.generate(prompt, {.tokens = 4, .temperature = 0}));
}

TEST_CASE("blocks that differ train, and files have them by their numbers") {
    using mixed_blocks = model_of<ranges<repeat<1, b>, repeat<2, alternating<a, b>>>>;
    trained<mixed_blocks> run(5);
    run.options.learning_rate = schedule::constant(1e-2);
    lesson const data(0);
    auto const before = run.evaluate(data.batch()).loss;
    for (int step = 0; step < 10; ++step) run.step(data.batch());
    CHECK(run.evaluate(data.batch()).loss < before - 0.5);

    test::scratch const folder;
    auto const path = folder / "weights.safetensors";
    run.save_weights(path);
    trained<mixed_blocks> again(6);
    again.load(io::safetensors(path));
    CHECK(weights_of(again) == weights_of(run));
    CHECK(again.evaluate(data.batch()).loss == run.evaluate(data.batch()).loss);
    run.save(folder / "run.snap");
    again.resume(folder / "run.snap");
    CHECK(again.steps() == 10);
}

TEST_CASE("cheap layers one after the other are computed again to the same bits") {
    trained<cheap_in_a_row> kept;
    trained<cheap_in_a_row, checkpointing::selective> again;
    CHECK(history_of(again) == history_of(kept));
    CHECK(again.allocated().count < kept.allocated().count);
}
