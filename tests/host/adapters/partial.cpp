// SPDX-License-Identifier: Apache-2.0
// Part of a model trains: what does is the same as where all of it does, and the rest costs nothing.
#include "../checkpointing/kept.hpp"

#include <unistd.h>
#include <filesystem>
#include <snug/quantization/nf4.hpp>

namespace {

using namespace snug;

constexpr index_t depth = 6;
template <class... Policies>
using gpt2 = trainer<test::gpt2_of<depth>, test::rows_of_16, Policies...>;
template <class... Policies>
using llama = trainer<test::llama_of<depth>, test::rows_of_16, Policies...>;

using named_values = std::vector<std::pair<std::string, std::vector<float>>>;

/// By blocks: f(entry) is all copies of an array.
template <class Run, class F>
named_values by_name(bool only_trained, F const& f) {
    named_values result;
    for (auto const& entry : parameters<Run>) {
        if (only_trained && !entry.is_trained()) continue;
        auto const all = f(entry);
        for (index_t copy = 0; copy < entry.copies; ++copy)
            result.emplace_back(
                entry.full_name(copy),
                std::vector<float>(all.begin() + copy * entry.count, all.begin() + (copy + 1) * entry.count));
    }
    return result;
}
std::vector<float> const* find(named_values const& in, std::string const& name) {
    for (auto const& [its, values] : in)
        if (its == name) return &values;
    return nullptr;
}
template <class Run>
void set_weights(Run& run, named_values const& from) {
    for (auto const& entry : parameters<Run>) {
        std::vector<float> all;
        for (index_t copy = 0; copy < entry.copies; ++copy) {
            auto const* const values = find(from, entry.full_name(copy));
            REQUIRE(values != nullptr);
            all.insert(all.end(), values->begin(), values->end());
        }
        run.set_weights(entry.name.view(), all);
    }
}
template <class Run>
named_values weights(Run const& run) {
    return by_name<Run>(false, [&](auto const& entry) { return run.copy_of_weights(entry.name.view()); });
}

/// The gradients of one batch, of what trains.
template <class Run>
named_values gradients(Run& run) {
    std::vector<std::int32_t> inputs, targets;
    for (std::uint64_t i = 0; i < 32; ++i) {
        inputs.push_back(static_cast<std::int32_t>(random::bits(1, 0, i) % 61));
        targets.push_back(static_cast<std::int32_t>(random::bits(1, 1, i) % 61));
    }
    run.accumulate({inputs, targets});
    return by_name<Run>(true, [&](auto const& entry) { return run.copy_of_gradients(entry.name.view()); });
}

/// Names that `All` and not `Part` trains; the gradients of all that both train are the same.
template <class All, class Part>
std::vector<std::string> left_out() {
    All whole(5);
    Part part(6);
    set_weights(part, weights(whole));
    auto const all = gradients(whole), some = gradients(part);
    std::vector<std::string> names;
    std::size_t found = 0;
    for (auto const& [name, values] : all) {
        auto const* const same = find(some, name);
        if (same == nullptr) {
            names.push_back(name);
            continue;
        }
        ++found;
        INFO(name);
        CHECK(std::memcmp(values.data(), same->data(), values.size() * sizeof(float)) == 0);
    }
    CHECK(found == some.size());
    return names;
}

auto const subjects = test::trainers_of<meta::list<
    gpt2<trains<last_blocks<2>>>, gpt2<trains<block_range<1, 2>, norms>, checkpointing::every_block>,
    llama<trains<last_blocks<3>, head>, precision::mixed<bf16>, quantization::nf4<32>,
          checkpointing::selective, accumulation::micro_batches<2>>,
    llama<trains<block_range<3, 4>>, checkpointing::keep<"qkv.output">>,
    gpt2<trains<last_blocks<1>>, checkpointing::offloaded<>>>>();

}  // namespace

TEST_CASE("what trains has the gradients that it has where all trains") {
    auto const last = left_out<gpt2<>, gpt2<trains<last_blocks<2>>>>();
    for (auto const& name : last)
        CHECK((name.starts_with("embedding.") || name.starts_with("norm.") || name.starts_with("blocks.0.") ||
               name.starts_with("blocks.1.") || name.starts_with("blocks.2.") ||
               name.starts_with("blocks.3.")));
    CHECK(last.size() == 2 + 2 + 4 * 12);
    auto const middle = left_out<llama<>, llama<trains<block_range<2, 3>, norms, layers_called<"down">>>>();
    CHECK(middle.size() == 2 + 4 * 3);
    auto const by_name = left_out<llama<>, llama<trains<layers_called<"blocks.qkv", "head">>>>();
    CHECK(by_name.size() == 2 + 5 * depth);
    CHECK(left_out<llama<>, llama<trains<block_range<0, depth - 1>>>>().size() == 3);
}

TEST_CASE("an adapter of some blocks has the gradients that it has where all are adapted") {
    // A new adapter adds zero: what the others begin with changes nothing.
    auto const others =
        left_out<llama<adapters::lora<rank<3>>>,
                 llama<adapters::lora<rank<3>, only_in<block_range<1, 2>>>, quantization::none>>();
    CHECK(others.size() == (depth - 2) * 4 * 2);  // A and B of four layers
    for (auto const& name : others)
        CHECK_FALSE((name.starts_with("blocks.1.") || name.starts_with("blocks.2.")));
}

TEST_CASE("the bill of a part: no gradient, states and activations of what does not train") {
    using all = gpt2<>;
    using part = gpt2<trains<last_blocks<2>>>;
    static_assert(trainable_parameter_count<part> * 3 ==
                  (trainable_parameter_count<all> - 61 * 24 - 16 * 24 - 48));
    static_assert(footprint<part>.gradients * 3 < footprint<all>.gradients);
    static_assert(footprint<part>.weights == footprint<all>.weights);
    // Of four of six blocks nothing is kept.
    static_assert(footprint<part>.activations * 2 < footprint<all>.activations);
    static_assert(!part::composition::keeps_all_activations);
    for (auto const& s : subjects) {
        test::check_allocations(s);
        test::check_memory(s);
    }
}

TEST_CASE(
    "a part that trains: losses fall, text is generated, and what is saved goes on and opens in the whole "
    "model") {
    using part = llama<trains<last_blocks<2>, head>>;
    part run(1);
    std::vector<std::int32_t> const tokens(32, 7);
    auto const before = run.evaluate({tokens, tokens});
    auto const frozen = run.copy_of_weights("blocks.0-3.qkv.weight");
    for (int i = 0; i < 5; ++i) run.step({tokens, tokens});
    CHECK(run.evaluate({tokens, tokens}).loss < before.loss);
    CHECK(run.copy_of_weights("blocks.0-3.qkv.weight") == frozen);
    // A snapshot has what trains, and stands on the rest; a model in other people's files has all of it.
    auto const folder =
        std::filesystem::temp_directory_path() / ("snug_partial_" + std::to_string(::getpid()));
    std::filesystem::create_directories(folder);
    run.save(folder / "training.snug");
    run.save_model(folder / "model");
    part goes_on(1);
    goes_on.resume(folder / "training.snug");
    CHECK(weights(goes_on) == weights(run));
    CHECK(goes_on.step({tokens, tokens}).loss == run.step({tokens, tokens}).loss);
    part elsewhere(2);
    CHECK_THROWS_WITH(elsewhere.resume(folder / "training.snug"), Catch::Contains("base"));
    goes_on.resume(folder / "training.snug");
    llama<> whole(3);
    whole.load(io::safetensors(folder / "model"));
    part again(4);
    again.load(io::safetensors(folder / "model"));
    CHECK(weights(again) == weights(goes_on));
    for (auto const& [name, values] : weights(whole)) {
        INFO(name);
        CHECK(values == *find(weights(again), name));
    }
    std::filesystem::remove_all(folder);
    std::vector<std::int32_t> const prompt{7, 7};
    CHECK(run.generate(prompt, {.tokens = 4}).size() == 4);
}
