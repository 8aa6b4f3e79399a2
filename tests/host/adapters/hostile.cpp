// SPDX-License-Identifier: Apache-2.0
// Files of adapters that nobody should trust: refused in a second, with file and place, and nothing has changed.
#include <catch2/catch.hpp>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <map>
#include <snug/snug.hpp>
#include <sstream>
#include <string>

namespace {

using namespace snug;
using model = models::llama<layers<1>, heads<2>, width<16>, mlp<24>, vocabulary<31>, context<8>>;
using tuning = trainer<model, batch<1, 8>, adapters::lora<rank<2>, targets<"q_proj", "down_proj">>>;

struct folder {
    std::string path = (std::filesystem::temp_directory_path() / "snug_hostile_XXXXXX").string();
    folder() { REQUIRE(mkdtemp(path.data()) != nullptr); }
    folder(folder const&) = delete;
    ~folder() { std::filesystem::remove_all(path); }
};

std::string read(std::string const& path) {
    std::ifstream file(path, std::ios::binary);
    std::ostringstream text;
    text << file.rdbuf();
    return text.str();
}
void write(std::string const& path, std::string const& text) {
    std::ofstream(path, std::ios::binary) << text;
}

/// A trainer, and an adapter's two files to be spoilt.
struct target {
    folder out;
    std::string config = out.path + "/adapter_config.json";
    std::string weights = out.path + "/adapter_model.safetensors";
    tuning run{5};
    std::string good_config, good_weights;

    target() {
        tuning(9).save_adapter(out.path);
        good_config = read(config);
        good_weights = read(weights);
    }

    std::string state() {
        std::string all;
        for (auto const& entry : tuning::composition::parameter_table.entries) {
            auto const bytes = std::as_bytes(run.weights(entry.name.view()));
            all.append(reinterpret_cast<char const*>(bytes.data()), bytes.size());
        }
        return all;
    }

    /// Loads; returns what was said, empty when it was taken.
    std::string load() {
        auto const before = state();
        auto const start = std::chrono::steady_clock::now();
        std::string said;
        try {
            run.load_adapter(out.path);
        } catch (error const& refused) {
            said = refused.what();
            CHECK(said.find(out.path) != std::string::npos);
            CHECK(state() == before);
        }
        CHECK(std::chrono::steady_clock::now() - start < std::chrono::seconds(1));
        return said;
    }
};

}  // namespace

TEST_CASE("an adapter's configuration of any other content is refused") {
    target t;
    REQUIRE(t.load().empty());
    auto const replaced = [&](std::string const& from, std::string const& to) {
        auto text = t.good_config;
        auto const at = text.find(from);
        REQUIRE(at != std::string::npos);
        return text.replace(at, from.size(), to);
    };
    std::string deep;
    for (int i = 0; i < 100000; ++i) deep += "[";
    // What is written, and words of the refusal.
    std::pair<std::string, std::string> const cases[] = {
        {"", "not JSON"},
        {"{", ""},
        {"[]", "an array"},
        {"null", ""},
        {"{}", "peft_type"},
        {deep, ""},
        {t.good_config + t.good_config, ""},
        {replaced("\"LORA\"", "\"IA3\""), "IA3"},
        {replaced("\"LORA\"", "7"), "a string"},
        {replaced("\"r\": 2", "\"r\": 3"), "found r the number 3"},
        {replaced("\"r\": 2", "\"r\": -1"), "found r the number -1"},
        {replaced("\"r\": 2", "\"r\": 18446744073709551618"), ""},
        {replaced("\"r\": 2", "\"r\": \"2\""), "a number"},
        {replaced("\"r\": 2", "\"r\": 1e999"), ""},
        {replaced("\"r\": 2", "\"r\": NaN"), ""},
        {replaced("\"r\": 2", "\"r\": 2, \"r\": 2"), "r"},
        {replaced("\"lora_alpha\": 2", "\"lora_alpha\": 16"), "lora_alpha the number 16"},
        {replaced("\"use_dora\": false", "\"use_dora\": true"), "use_dora true"},
        {replaced("\"use_dora\": false", "\"use_dora\": []"), "true or false"},
        {replaced("\"use_rslora\": false", "\"use_rslora\": true"), "use_rslora true"},
        {replaced("\"bias\": \"none\"", "\"bias\": \"all\""), "biases"},
        {replaced("\"bias\": \"none\"", "\"bias\": {}"), "a string"},
        {replaced("\"rank_pattern\": {}", "\"rank_pattern\": {\"(a+)+$\": 4}"), "a pattern"},
        {replaced("\"alpha_pattern\": {}", "\"alpha_pattern\": {\"q_proj\": 4}"), "a pattern"},
        {replaced("\"alpha_pattern\": {}", "\"alpha_pattern\": 4"), "an object"},
        {replaced("\"layers_to_transform\": null", "\"layers_to_transform\": [1]"), "every block"},
        {replaced("\"revision\": null", "\"use_what_is_new\": true"), "use_what_is_new"},
        {replaced("\"init_lora_weights\": true", "\"init_lora_weights\": \"pissa\""), "pissa"},
        {replaced("\"revision\": null", "\"revision\": \"\xff\""), "UTF-8"},
    };
    for (auto const& [text, words] : cases) {
        INFO(text.substr(0, 200));
        write(t.config, text);
        auto const said = t.load();
        CHECK(!said.empty());
        CHECK_THAT(said, Catch::Contains(words));
    }
    // Patterns in target_modules are not run, whatever they would cost.
    write(t.config, replaced("[\"down_proj\", \"q_proj\"]", "\"((((((a+)+)+)+)+)+)+$\""));
    CHECK_THAT(t.load(), Catch::Contains("an expression is not run"));
}

TEST_CASE("an adapter's weights that are not exactly this adapter's are refused") {
    target t;
    std::string const name = "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight";
    // Other values every time, so that whatever is loaded shows.
    auto value = std::byte{0x30};
    auto const made = [&](auto&& change) {
        value = static_cast<std::byte>(static_cast<int>(value) + 1);
        std::filesystem::remove(t.weights);
        io::safetensors const good = [&] {
            write(t.weights, t.good_weights);
            return io::safetensors(t.weights);
        }();
        std::map<std::string, std::pair<std::vector<snug::index_t>, io::tensor_type>> shapes;
        for (auto const& tensor : good.tensors()) shapes[tensor.name] = {tensor.dimensions, tensor.type};
        change(shapes);
        io::safetensors_writer file(t.weights);
        for (auto const& [tensor, shape] : shapes) file.declare(tensor, shape.second, shape.first);
        for (auto const& tensor : file.tensors())
            file.write(tensor.name, std::vector<std::byte>(static_cast<std::size_t>(tensor.bytes), value));
        file.commit();
        return t.load();
    };
    CHECK(made([](auto&) {}).empty());
    CHECK_THAT(made([&](auto& all) { all.erase(name); }), Catch::Contains("no tensor"));
    CHECK_THAT(made([&](auto& all) {
                   all["base_model.model.lm_head.weight"] = {{31, 16}, io::tensor_type::f32};
               }),
               Catch::Contains("no place for"));
    CHECK_THAT(made([&](auto& all) { all[name].first = {16, 2}; }), Catch::Contains("F32 [2, 16]"));
    CHECK_THAT(made([&](auto& all) { all[name].first = {2, 16, 1}; }), Catch::Contains("F32 [2, 16]"));
    CHECK_THAT(made([&](auto& all) { all[name].first = {}; }), Catch::Contains("F32 [2, 16]"));
    CHECK_THAT(made([&](auto& all) { all[name].second = io::tensor_type::u8; }), Catch::Contains("U8"));
    // Also when it is the last that is looked at: those before it are not half-loaded.
    CHECK_THAT(made([](auto& all) {
                   all["base_model.model.model.layers.0.mlp.down_proj.lora_B.weight"].second =
                       io::tensor_type::i32;
               }),
               Catch::Contains("I32"));
    // The values of another type of number are taken.
    CHECK(made([&](auto& all) { all[name].second = io::tensor_type::bf16; }).empty());
    // A NaN, wherever it is, unless it is wanted.
    value = std::byte{0xfe};
    CHECK_THAT(made([](auto&) {}),
               Catch::Contains("q_proj.lora_A.weight") || Catch::Contains("NaN at element 0"));
    CHECK_NOTHROW(t.run.load_adapter(t.out.path, {.allow_not_finite = true}));
}

TEST_CASE("an adapter's files cut anywhere are refused, and damaged anywhere refused or read") {
    target t;
    int taken = 0;
    for (std::size_t length = 0; length < t.good_weights.size(); length += 3) {
        write(t.weights, t.good_weights.substr(0, length));
        taken += t.load().empty();
    }
    write(t.weights, t.good_weights);
    for (std::size_t length = 0; length + 2 < t.good_config.size(); ++length) {
        write(t.config, t.good_config.substr(0, length));
        taken += t.load().empty();
    }
    CHECK(taken == 0);
    for (std::size_t at = 0; at < t.good_config.size(); at += 2) {
        auto text = t.good_config;
        text[at] = static_cast<char>(text[at] ^ 0x10);
        write(t.config, text);
        t.load();
    }
    write(t.config, t.good_config);
    for (std::size_t at = 0; at < std::min<std::size_t>(t.good_weights.size(), 600); ++at) {
        auto bytes = t.good_weights;
        bytes[at] = static_cast<char>(bytes[at] ^ 0x11);
        write(t.weights, bytes);
        t.load();
    }
}
