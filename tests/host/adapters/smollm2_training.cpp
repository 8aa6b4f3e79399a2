// SPDX-License-Identifier: Apache-2.0
// What PEFT computes when it fine-tunes SmolLM2-135M-Instruct, over its weights and over bitsandbytes' NF4 of them, and what
// snug computes; adapters in files go both ways. Needs the file (SNUG_SMOLLM2); tests/reference/smollm2_adapters.py says what
// the fixture holds, and how to exchange files (SNUG_SMOLLM2_ADAPTERS).
#include "../../reference/tiny.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <catch2/catch.hpp>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <optional>
#include <snug/io/gguf.hpp>
#include <snug/quantization/double_quantized.hpp>
#include <snug/quantization/nf4.hpp>
#include <snug/snug.hpp>
#include <span>
#include <string>
#include <vector>

namespace {

using namespace tiny;
using adapters::lora, adapters::dora;

using nf4 = quantization::nf4<64>;
using nf4_double = quantization::double_quantized<nf4>;

template <class... Policies>
using fine_tuning =
    trainer<models::smollm2_135m, batch<2, 64>, lora<rank<8>, alpha<16>>, precision::full<fp32>, Policies...>;
using with_magnitudes =
    trainer<models::smollm2_135m, batch<2, 64>, dora<rank<8>, alpha<16>>, precision::full<fp32>>;
/// The adapter of the example fine_tune.
template <class... Policies>
using job = trainer<models::smollm2_135m, batch<1, 64>, lora<rank<16>, alpha<32>>, nf4_double, Policies...>;

constexpr std::array<char const*, 4> layer_names{"qkv", "projection", "gate_up", "down"};

/// The file that SNUG_SMOLLM2 names, or nothing and a word about it.
std::optional<io::gguf> model_file() {
    auto const* const path = std::getenv("SNUG_SMOLLM2");
    if (path == nullptr) {
        WARN("skipped: SNUG_SMOLLM2 does not name the GGUF file of SmolLM2-135M-Instruct");
        return {};
    }
    return io::gguf(path);
}

/// The folder in which adapters are exchanged with PEFT, if any.
std::filesystem::path exchange_folder() {
    auto const* const path = std::getenv("SNUG_SMOLLM2_ADAPTERS");
    return path == nullptr ? "" : path;
}

std::uint64_t fnv1a(std::string const& text) {
    std::uint64_t value = 0xcbf29ce484222325u;
    for (auto const c : text) value = (value ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
    return value;
}

/// A as the script's initial_a() has it; B = 0.
template <class Run>
void start_adapter(Run& run) {
    for_each_trained_tensor<Run>([&](auto const& entry, snug::index_t copy, std::string const& name) {
        if (name.ends_with("magnitude")) return;  // the lengths of the rows, since the weights were loaded
        bool const is_b = name.ends_with("lora_B");
        auto z = fnv1a(name);
        for (auto& value : copy_of(run.weights(entry.name.view()), entry, copy)) {
            auto x = z += 0x9e3779b97f4a7c15u;
            x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
            x = (x ^ x >> 27) * 0x94d049bb133111ebu;
            x ^= x >> 31;
            auto const even = static_cast<float>(static_cast<std::int32_t>(x >> 40) - (1 << 23));
            value = is_b ? 0 : even * 0x1p-28f;
        }
    });
    run.weights_changed();
}

/// Sum of (2 i + 1) times the bits of the i-th number of the decoded weights, modulo 2^64.
template <class Run>
std::uint64_t checksum_of(Run& run, std::string const& layer) {
    using scheme = typename Run::composition::quantization;
    std::uint64_t sum = 0, factor = 1;
    auto const add = [&](std::span<float const> values) {
        for (auto const value : values) {
            sum += factor * std::bit_cast<std::uint32_t>(value);
            factor += 2;
        }
    };
    for (auto const& entry : Run::composition::parameter_table.entries) {
        if (entry.name.view() != "blocks." + layer + ".weight") continue;
        if constexpr (quantization::quantization_scheme<scheme>) {
            auto const stored = run.stored(entry.name.view());
            std::vector<float> values(static_cast<std::size_t>(entry.count));
            for (snug::index_t copy = 0; copy < entry.copies; ++copy) {
                scheme::decode(scheme::view_of(stored.data() + copy * entry.stored_bytes,
                                               {entry.dimensions[0], entry.dimensions[1]}),
                               0, entry.count, values.data());
                add(values);
            }
        } else add(run.weights(entry.name.view()));
    }
    return sum;
}

std::uint64_t number_of(snug_test::tensor const& halves, std::size_t row) {
    auto const half = [&](std::size_t i) {
        return static_cast<std::uint64_t>(
            static_cast<std::uint32_t>(static_cast<std::int32_t>(halves.values[2 * row + i])));
    };
    return half(1) << 32 | half(0);
}

/// 2-norm of A or B of all blocks.
template <class Run>
double norm_of(Run& run, std::string const& name) {
    double squares = 0;
    for (auto const value : run.weights(name)) squares += double{value} * double{value};
    return std::sqrt(squares);
}

/// Logits after each token of the sentences of smollm2.fixture.
template <class Run>
std::vector<float> logits_of_sentences(Run& run) {
    auto const tokens = fixture_named("smollm2")["tokens"];
    auto const length = static_cast<std::size_t>(tokens.dims[1]);
    std::vector<float> all;
    for (std::size_t s = 0; s < static_cast<std::size_t>(tokens.dims[0]); ++s) {
        auto const sentence = integers(tokens, s * length, length);
        for (std::size_t t = 0; t < length; ++t) {
            auto const found = run.next_token_logits({sentence.data(), t + 1}, static_cast<snug::index_t>(t));
            all.insert(all.end(), found.begin(), found.end());
        }
    }
    return all;
}

/// Largest difference of any token's logits, relative to the largest of that token.
double apart(std::vector<float> const& found, std::vector<double> const& expected) {
    constexpr std::size_t vocabulary = 49152;
    REQUIRE(found.size() == expected.size());
    double worst = 0;
    for (std::size_t at = 0; at < found.size(); at += vocabulary)
        worst = std::max(worst, difference(std::span(found).subspan(at), expected.data() + at, vocabulary));
    return worst;
}

struct named_logits {
    std::string name;
    std::vector<float> values;
};
void write_logits(std::filesystem::path const& path, std::vector<named_logits> const& all) {
    std::ofstream file(path, std::ios::binary);
    for (auto const& [name, values] : all)
        file << name << " f32 " << values.size() << " 3 " << values.size() / 3 / 49152 << " 49152\n";
    file << '\n';
    for (auto const& [name, values] : all)
        file.write(reinterpret_cast<char const*>(values.data()),
                   static_cast<std::streamsize>(values.size() * sizeof(float)));
}

/// Trains as PEFT did. Two programs round differently, and AdamW makes steps of one size of gradients that are nearly zero: the
/// weights drift apart where it matters least, and single logits by more than the loss.
template <class Run>
void compare(io::gguf const& file, std::string const& name) {
    auto const expected = fixture_named("smollm2_adapters");
    Run run;
    run.load(file);
    // What is trained over is the same to the bit.
    for (std::size_t i = 0; i < layer_names.size(); ++i) {
        INFO(name << ": decoded weights of " << layer_names[i]);
        CHECK(checksum_of(run, layer_names[i]) == number_of(expected[name + ".checksum"], i));
    }
    start_adapter(run);
    run.options.learning_rate = schedule::constant(1e-3);
    auto const& tokens = expected["tokens"];
    auto const batches = static_cast<std::size_t>(tokens.dims[0]);
    double worst = 0, worst_norm = 0;
    for (std::size_t step = 0; step < 20; ++step) {
        std::vector<std::int32_t> inputs, targets;
        for (std::size_t sequence = 0; sequence < 2; ++sequence) {
            auto const ids = integers(tokens, (step % batches * 2 + sequence) * 65, 65);
            inputs.insert(inputs.end(), ids.begin(), ids.end() - 1);
            targets.insert(targets.end(), ids.begin() + 1, ids.end());
        }
        if (step % batches == 2) std::fill_n(targets.begin() + 64, 24, -1);
        auto const result = run.step({inputs, targets});
        auto const loss = expected[name + ".loss"].values[step],
                   norm = expected[name + ".gradient_norm"].values[step];
        INFO(name << ", step " << step);
        CHECK(result.loss == Approx(loss).epsilon(1e-4));
        CHECK(result.gradient_norm == Approx(norm).epsilon(5e-4));
        worst = std::max(worst, std::abs(result.loss / loss - 1));
        worst_norm = std::max(worst_norm, std::abs(result.gradient_norm / norm - 1));
    }
    double worst_final = 0;
    constexpr std::array<char const*, 3> part_names{".lora_A", ".lora_B", ".magnitude"};
    auto const& finals = expected[name + ".final"];
    auto const parts = static_cast<std::size_t>(finals.dims[1]);
    for (std::size_t i = 0; i < layer_names.size(); ++i)
        for (std::size_t part = 0; part < parts; ++part) {
            auto const found = norm_of(run, std::string("blocks.") + layer_names[i] + part_names[part]);
            auto const wanted = finals.values[parts * i + part];
            INFO(name << ", final norm of " << layer_names[i] << part_names[part]);
            CHECK(found == Approx(wanted).epsilon(1e-4));
            worst_final = std::max(worst_final, std::abs(found / wanted - 1));
        }
    auto const all = run.next_token_logits(integers(tokens, 0, 64));
    std::vector<float> sampled;
    for (std::size_t i = 0; i < all.size(); i += 768) sampled.push_back(all[i]);
    auto const logits = difference(sampled, expected[name + ".logits"].values.data(), sampled.size());
    CHECK(logits <= 5e-3);

    if (auto const folder = exchange_folder() / name; !exchange_folder().empty()) {
        // Ours to PEFT, and PEFT's to us.
        run.save_adapter((folder / "snug").string());
        write_logits(folder / "snug.fixture", {{"logits", logits_of_sentences(run)}});
        run.load_adapter((folder / "peft").string());
        auto const difference =
            apart(logits_of_sentences(run),
                  snug_test::fixture((folder / "peft.fixture").string())["logits"].values);
        CHECK(difference <= 1e-4);
        WARN(name << ": loss within " << worst << " of PEFT's, gradient norm " << worst_norm
                  << ", norms at the end " << worst_final << ", logits " << logits
                  << "; logits with PEFT's adapter " << difference);
    }
}

template <class Run>
std::vector<float> logits_of_job(io::gguf const& file, std::string const& adapter) {
    Run run;
    run.load(file);
    run.load_adapter(adapter);
    return logits_of_sentences(run);
}

}  // namespace

TEST_CASE("LoRA on SmolLM2 agrees with PEFT over 20 steps") {
    if (auto const file = model_file()) compare<fine_tuning<>>(*file, "lora");
}
TEST_CASE("LoRA on SmolLM2 over NF4 agrees with PEFT over bitsandbytes' values over 20 steps") {
    if (auto const file = model_file()) compare<fine_tuning<nf4>>(*file, "nf4");
}
TEST_CASE("LoRA on SmolLM2 over NF4 with quantized scales agrees with PEFT over 20 steps") {
    if (auto const file = model_file()) compare<fine_tuning<nf4_double>>(*file, "double");
}

TEST_CASE("DoRA on SmolLM2 agrees with PEFT over 20 steps") {
    if (auto const file = model_file()) compare<with_magnitudes>(*file, "dora");
}

TEST_CASE("logits with the adapter of the example fine_tune are left for PEFT") {
    auto const folder = exchange_folder() / "job";
    if (exchange_folder().empty() || !std::filesystem::exists(folder / "snug")) {
        WARN("skipped: SNUG_SMOLLM2_ADAPTERS names no folder with job/snug");
        return;
    }
    auto const file = model_file();
    if (!file) return;
    auto const adapter = (folder / "snug").string();
    auto const precise = logits_of_job<job<precision::full<fp32>>>(*file, adapter);
    auto const mixed = logits_of_job<job<precision::mixed<bf16>>>(*file, adapter);
    // PEFT's logits in bf16 are 6.8 % from those in fp32.
    CHECK(apart(mixed, {precise.begin(), precise.end()}) <= 0.1);
    write_logits(folder / "snug.fixture", {{"logits", precise}, {"mixed", mixed}});
}
