// SPDX-License-Identifier: Apache-2.0
// Models with scaled rotary frequencies, from transformers' files and from GGUF: tests/reference/make_rope_fixtures.py made
// them, and says what is in them.
#include "../reference/fixture.hpp"
#include "io/faults.hpp"

#include <catch2/catch.hpp>
#include <fstream>
#include <iterator>
#include <snug/io/gguf.hpp>
#include <snug/io/safetensors.hpp>
#include <snug/snug.hpp>
#include <string>

namespace {

using namespace snug;
using Catch::Matchers::Contains;

std::string const data = SNUG_TEST_DATA "/rope/";

template <class Scaling, class... Options>
using tiny = trainer<models::llama<layers<2>, heads<2>, kv_heads<1>, head_width<16>, width<16>, mlp<24>,
                                   vocabulary<24>, context<64>, rope_scaling<Scaling>, Options...>,
                     batch<1, 40>>;
using llama3 = tiny<rope::llama3<8, 1, 4, 32>, tied_head<1>>;
using divided = tiny<rope::linear<4>>;

/// The largest difference of a logit after any of the tokens, against the largest logit.
template <class Run>
double apart(Run& run, std::string const& model) {
    snug_test::fixture const expected(SNUG_TEST_DATA "/rope.fixture");
    std::vector<std::int32_t> tokens;
    for (auto const token : expected["tokens"].values) tokens.push_back(static_cast<std::int32_t>(token));
    double largest = 0, most = 0;
    for (std::size_t t = 0; t < tokens.size(); ++t) {
        auto const found = run.next_token_logits({tokens.data(), t + 1});
        for (std::size_t i = 0; i < found.size(); ++i) {
            auto const wanted = expected[model].values[t * found.size() + i];
            largest = std::max(largest, std::abs(wanted));
            most = std::max(most, std::abs(static_cast<double>(found[i]) - wanted));
        }
    }
    return most / largest;
}

constexpr double near = 2e-6;

template <class Run, class File>
double apart_after_loading(Run& run, File const& file, std::string const& model) {
    run.load(file);
    return apart(run, model);
}

std::string content_of(std::string const& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
}

template <class File>
std::string refused(auto& run, std::string const& path) {
    return test::refusal([&] { run.load(File(path)); });
}

}  // namespace

TEST_CASE("scaled rotary frequencies give the logits of transformers, from its folder and from GGUF") {
    llama3 first(1);
    CHECK(apart_after_loading(first, io::safetensors(data + "llama3"), "llama3") < near);
    llama3 second(2);
    CHECK(apart_after_loading(second, io::gguf(data + "llama3.gguf"), "llama3") < near);
    divided third(3);
    CHECK(apart_after_loading(third, io::safetensors(data + "linear"), "linear") < near);
    divided fourth(4);
    CHECK(apart_after_loading(fourth, io::gguf(data + "linear.gguf"), "linear") < near);
}

TEST_CASE("a saved model says how its rotary frequencies are scaled") {
    test::scratch folder;
    llama3 run(1);
    run.load(io::gguf(data + "llama3.gguf"));
    run.save_model(folder / "saved");
    llama3 again(2);
    CHECK(apart_after_loading(again, io::safetensors(folder / "saved"), "llama3") < near);
    divided other(3);
    other.save_model(folder / "other");
    CHECK(io::read_model_config(folder / "other").rope_scaling == rope::linear<4>::numbers());
}

TEST_CASE("a file with other rotary frequencies than the trainer's is refused") {
    llama3 run(1);
    std::string const rule =
        "scaled as Llama 3's are (factor 8, low_freq_factor 1, high_freq_factor 4, "
        "original_max_position_embeddings 32)";
    CHECK_THAT(refused<io::gguf>(run, data + "linear.gguf"), Contains("divided by 4") && Contains(rule));
    divided other(2);
    CHECK_THAT(refused<io::gguf>(other, data + "llama3.gguf"),
               Contains("divided by 1 to 8 (rope_freqs.weight)") && Contains("divided by 4"));
    CHECK_THAT(refused<io::safetensors>(other, data + "llama3"), Contains("scaled as Llama 3's are"));

    // One factor of a file changed a little.
    test::scratch folder;
    auto bytes = content_of(data + "llama3.gguf");
    auto const factors = io::gguf(data + "llama3.gguf").tensor("rope_freqs.weight").offset;
    auto const set = [&](std::size_t i, float value) {
        std::memcpy(&bytes[static_cast<std::size_t>(factors) + i * sizeof(float)], &value, sizeof(float));
        test::write_file(folder / "g", bytes);
    };
    set(7, 8.01f);
    CHECK_THAT(refused<io::gguf>(run, folder / "g"), Contains("divided by 1 to 8.01") && Contains(rule));
    set(7, -8.f);
    CHECK_THAT(refused<io::gguf>(run, folder / "g"), Contains("\"rope_freqs.weight\": found a factor of -8"));
    set(7, 8.f);
    CHECK(refused<io::gguf>(run, folder / "g").empty());
}

TEST_CASE("a tied model's file may hold the head as a copy of the table, and no other head") {
    llama3 run(1);
    CHECK(apart_after_loading(run, io::gguf(data + "llama3_with_head.gguf"), "llama3") < near);
    test::scratch folder;
    auto bytes = content_of(data + "llama3_with_head.gguf");
    io::gguf const whole(data + "llama3_with_head.gguf");
    auto const& head = whole.tensor("output.weight");
    auto const last = static_cast<std::size_t>(head.offset) + head.bytes.size() - 1;
    bytes[last] = static_cast<char>(bytes[last] ^ 1);
    test::write_file(folder / "g", bytes);
    CHECK_THAT(refused<io::gguf>(run, folder / "g"),
               Contains("a head of its own in the file") && Contains("a head tied to the embedding"));

    // The same in files without a word about the head.
    auto const write = [&](bool same) {
        io::safetensors const from(data + "llama3");
        io::safetensors_writer file(folder / "bare.safetensors");
        for (auto const& tensor : from.tensors()) file.declare(tensor.name, tensor.type, tensor.dimensions);
        file.declare("lm_head.weight", io::tensor_type::f32, {24, 16});
        for (auto const& tensor : file.tensors()) {
            auto const& source =
                from.tensor(tensor.name == "lm_head.weight" ? "model.embed_tokens.weight" : tensor.name);
            std::vector<std::byte> values(source.bytes.begin(), source.bytes.end());
            if (!same && tensor.name == "lm_head.weight") values.front() ^= std::byte{1};
            file.write(tensor.name, values);
        }
        file.commit();
        return refused<io::safetensors>(run, folder / "bare.safetensors");
    };
    CHECK(write(true).empty());
    CHECK_THAT(write(false), Contains("tensor lm_head.weight: found a head of its own") &&
                                 Contains("a copy of \"model.embed_tokens.weight\""));
}
