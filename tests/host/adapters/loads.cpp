// SPDX-License-Identifier: Apache-2.0
// Weights from outside are looked at whole before anything changes: numbers that are not finite, or would not be.
#include <catch2/catch.hpp>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <limits>
#include <snug/quantization/outlier_split.hpp>
#include <snug/snug.hpp>
#include <string>
#include <vector>

namespace {

using namespace snug;
using model =
    models::llama<layers<2>, heads<2>, width<16>, mlp<24>, vocabulary<31>, context<8>, tied_head<1>>;
template <class... Policies>
using on_model = trainer<model, batch<1, 8>, Policies...>;
using plain = on_model<>;
using in_fp16 = on_model<precision::mixed<fp16>>;
using tuned = on_model<adapters::lora<rank<2>, targets<"down_proj">>>;
using quantized = on_model<precision::mixed<bf16>, quantization::nf4<64>, adapters::lora<rank<2>>>;
using split = on_model<quantization::outlier_split<quantization::threshold<6>, quantization::nf4<64>,
                                                   quantization::outlier_columns<1>>>;

constexpr float not_a_number = std::numeric_limits<float>::quiet_NaN();
constexpr float infinite = std::numeric_limits<float>::infinity();
// Of the second block: the middle of the last matrix but the final norm, where much has been looked at before.
constexpr char const* tensor = "model.layers.1.mlp.down_proj.weight";
constexpr std::size_t element = 100, of_both_blocks = 16 * 24 + element;

struct folder {
    std::string path = (std::filesystem::temp_directory_path() / "snug_loads_XXXXXX").string();
    folder() { REQUIRE(mkdtemp(path.data()) != nullptr); }
    folder(folder const&) = delete;
    ~folder() { std::filesystem::remove_all(path); }

    /// A model's folder in which one element is `value`.
    io::safetensors with(float value) const {
        plain run(7);
        run.weights("blocks.down.weight")[of_both_blocks] =
            value;  // set_weights would refuse what is not finite
        run.save_model(path);
        return io::safetensors(path);
    }
};

/// Every byte that a trainer keeps of its parameters.
template <class Run>
std::string state_of(Run const& run) {
    std::string all;
    auto const add = [&](auto const& values) {
        auto const bytes = std::as_bytes(std::span(values));
        all.append(reinterpret_cast<char const*>(bytes.data()), bytes.size());
    };
    for (auto const& entry : Run::composition::parameter_table.entries) {
        if (entry.is_derived()) continue;
        if (entry.is_quantized()) add(run.copy_of_stored(entry.name.view()));
        else add(run.copy_of_weights(entry.name.view()));
    }
    return all;
}

/// What is said when `act` is refused, with nothing changed in the trainer.
template <class Run, class Act>
std::string refusal_of(Run& run, Act const& act) {
    auto const before = state_of(run);
    try {
        act();
    } catch (error const& refused) {
        CHECK(state_of(run) == before);
        return refused.what();
    }
    return "taken";
}

template <class Run>
std::string refusal_of_load(folder const& from, float value, load_options const& allowed = {}) {
    Run run(1);
    auto const file = from.with(value);
    return refusal_of(run, [&] { run.load(file, allowed); });
}

void check_names(std::string const& said, std::string const& what) {
    CHECK_THAT(said, Catch::Contains(tensor) && Catch::Contains(what + " at element 100") &&
                         Catch::Contains("model.safetensors"));
}

}  // namespace

TEST_CASE("a number that is not finite is refused by tensor and index, and nothing has changed") {
    folder const at;
    for (auto const& [value, what] : {std::pair{not_a_number, "NaN"}, std::pair{infinite, "infinity"},
                                      std::pair{-infinite, "-infinity"}}) {
        check_names(refusal_of_load<plain>(at, value), what);
        check_names(refusal_of_load<in_fp16>(at, value), what);
        check_names(refusal_of_load<quantized>(at, value), what);
    }
    CHECK(refusal_of_load<quantized>(at, 0.5f) == "taken");
}

TEST_CASE("a number that is infinite in the type that stores it counts as infinite") {
    folder const at;
    CHECK(refusal_of_load<plain>(at, 1e38f) == "taken");
    CHECK(refusal_of_load<in_fp16>(at, 65504.0f) == "taken");
    check_names(refusal_of_load<in_fp16>(at, 65520.0f), "65520");
    CHECK_THAT(refusal_of_load<in_fp16>(at, 1e38f), Catch::Contains(tensor));
}

TEST_CASE("numbers that are not finite are taken when they are wanted, but by no scheme") {
    folder const at;
    plain run(1);
    run.load(at.with(not_a_number), {.allow_not_finite = true});
    CHECK(std::isnan(run.weights("blocks.down.weight")[of_both_blocks]));
    check_names(refusal_of_load<quantized>(at, not_a_number, {.allow_not_finite = true}), "NaN");
}

TEST_CASE("bytes that a scheme reads as numbers that are not finite are refused, and nothing has changed") {
    quantized run(1);
    auto bytes = run.copy_of_stored("blocks.down.weight");
    std::fill(bytes.begin(), bytes.end(), std::byte{0xff});
    CHECK_THAT(refusal_of(run, [&] { run.set_stored("blocks.down.weight", bytes); }),
               Catch::Contains("tensor blocks.down.weight") && Catch::Contains("at element 0"));
}

TEST_CASE("a load begins training anew") {
    folder const at;
    auto const file = at.with(0.5f);
    std::vector<std::int32_t> const inputs(static_cast<std::size_t>(plain::tokens_per_step), 3),
        targets(inputs.size(), 4);
    plain run(1), fresh(2);
    run.step({inputs, targets});
    run.accumulate({inputs, targets});
    run.load(file);
    fresh.load(file);
    CHECK(run.steps() == 0);
    CHECK_THAT(refusal_of(run, [&] { run.update({}); }), Catch::Contains("nothing was accumulated"));
    run.step({inputs, targets});
    fresh.step({inputs, targets});
    CHECK((state_of(run) == state_of(fresh)));
}

TEST_CASE("what a scheme has no room for is refused by file and tensor, and nothing has changed") {
    folder const at;
    plain run(7);
    auto weights = run.copy_of_weights("blocks.down.weight");
    // Outliers in two columns of the second block, and room for one.
    weights[of_both_blocks] = weights[of_both_blocks + 1] = 1e3f;
    run.set_weights("blocks.down.weight", weights);
    run.save_model(at.path);
    split to(1);
    auto const said = refusal_of(to, [&] { to.load(io::safetensors(at.path)); });
    CHECK_THAT(said, Catch::Contains(tensor) && Catch::Contains("blocks.1.down.weight") &&
                         Catch::Contains("outliers") && Catch::Contains("model.safetensors"));
}

TEST_CASE("merging into a type that cannot hold the sum is refused, and nothing has changed") {
    tuned run(7);
    in_fp16 into(1);
    auto b = run.copy_of_weights("blocks.down.lora_B");
    b[4 * 2] = 1e9f;  // of row 4 of the first block
    run.set_weights("blocks.down.lora_B", b);
    auto const said = refusal_of(into, [&] { run.merge_into(into); });
    CHECK_THAT(said, Catch::Contains("blocks.0.down.weight") && Catch::Contains("at element 96"));
    run.merge_into(into, {.allow_not_finite = true});
    CHECK(std::isinf(static_cast<float>(into.weights("blocks.down.weight")[4 * 24])));
    // The base without it can be held.
    run.unmerge_from(into);
    CHECK(std::isfinite(static_cast<float>(into.weights("blocks.down.weight")[4 * 24])));
    // As a file, in the trainer's own type, it is finite; NaN is written as it is.
    folder const at;
    run.weights("blocks.down.lora_B")[0] = not_a_number;
    run.save_model(at.path);
    CHECK_THAT(refusal_of(into, [&] { into.load(io::safetensors(at.path)); }),
               Catch::Contains("NaN at element 0"));
}

TEST_CASE("a merged model that its own type cannot hold is not written") {
    using tuned_in_fp16 = on_model<precision::mixed<fp16>, adapters::lora<rank<2>, targets<"down_proj">>>;
    tuned_in_fp16 run(7);
    auto const fill = [&](std::string_view name, float value) {
        auto values = run.copy_of_weights(name);
        for (auto& x : values) x = fp16(value);
        run.set_weights(name, values);
    };
    fill("blocks.down.lora_A", 1000);
    fill("blocks.down.lora_B", 1000);
    folder const at;
    CHECK_THROWS_WITH(run.save_model(at.path), Catch::Contains("model.layers.0.mlp.down_proj.weight") &&
                                                   Catch::Contains("at element 0"));
    CHECK(!std::filesystem::exists(at.path + "/model.safetensors"));
    CHECK(!std::filesystem::exists(at.path + "/config.json"));
}
