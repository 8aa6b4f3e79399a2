// SPDX-License-Identifier: Apache-2.0
// What transformers computes from SmolLM2-135M-Instruct, and what snug computes from the same file, frozen under an
// adapter that has not learnt anything yet. Needs the file (SNUG_SMOLLM2), and for the perplexity the Jargon File.
#include "../../reference/fixture.hpp"

#include <catch2/catch.hpp>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <optional>
#include <snug/data/tokenizer.hpp>
#include <snug/io/gguf.hpp>
#include <snug/snug.hpp>
#include <string>
#include <vector>

namespace {

using namespace snug;

char const* const jargon = "/usr/share/dictd/jargon.dict.dz";

template <class... Policies>
using fine_tuning = trainer<models::smollm2_135m, batch<4, 256>, adapters::lora<rank<1>>,
                            checkpointing::every_block, Policies...>;

/// The file that SNUG_SMOLLM2 names, or nothing and a word about it.
std::optional<io::gguf> model_file() {
    auto const* const path = std::getenv("SNUG_SMOLLM2");
    if (path == nullptr) {
        WARN("skipped: SNUG_SMOLLM2 does not name the GGUF file of SmolLM2-135M-Instruct");
        return {};
    }
    return io::gguf(path);
}

snug_test::fixture reference() {
    return snug_test::fixture(std::string(SNUG_TEST_DATA) + "/smollm2.fixture");
}

/// The first bytes of the Jargon File; empty where it is not.
std::string text_of(std::size_t bytes) {
    std::string text(bytes, '\0');
    std::unique_ptr<std::FILE, int (*)(std::FILE*)> const pipe(
        popen((std::string("zcat ") + jargon + " 2> /dev/null").c_str(), "r"), pclose);
    if (pipe) text.resize(std::fread(text.data(), 1, bytes, pipe.get()));
    return text.size() == bytes ? text : std::string();
}

/// FNV-1a of the ids as 32-bit little-endian numbers.
std::uint64_t checksum_of(std::vector<std::int32_t> const& ids) {
    std::uint64_t value = 0xcbf29ce484222325u;
    for (auto const id : ids)
        for (int byte = 0; byte < 4; ++byte)
            value = (value ^ (static_cast<std::uint32_t>(id) >> 8 * byte & 0xff)) * 0x100000001b3u;
    return value;
}

/// The ids of the text that the fixture was made from, once more than its tokens; empty where there is no text.
std::vector<std::int32_t> ids_of_the_text(io::gguf const& file, snug_test::fixture const& expected) {
    auto const count =
        static_cast<std::size_t>(expected["text.tokens"].values[0] * expected["text.tokens"].values[1]);
    auto const text = text_of(8 * count);
    if (text.empty()) {
        WARN("skipped: no " << jargon << " (Debian's package dict-jargon), or no zcat");
        return {};
    }
    auto ids = io::tokenizer::from_gguf(file).encode(text);
    REQUIRE(ids.size() > count);
    ids.resize(count + 1);
    auto const half = [&](std::size_t i) {
        return static_cast<std::uint64_t>(
            static_cast<std::uint32_t>(static_cast<std::int32_t>(expected["text.checksum"].values[i])));
    };
    REQUIRE(checksum_of(ids) == (half(1) << 32 | half(0)));
    return ids;
}

/// Mean loss over all sequences of the text.
template <class Run>
double loss_of_the_text(Run& run, std::vector<std::int32_t> const& ids) {
    auto const step = static_cast<std::size_t>(Run::tokens_per_step);
    auto const all = std::span(ids);
    std::vector<token_batch> batches;
    for (std::size_t at = 0; at + step < ids.size(); at += step)
        batches.push_back({all.subspan(at, step), all.subspan(at + 1, step)});
    return run.evaluate(batches).loss;
}

}  // namespace

TEST_CASE("SmolLM2 has the logits that transformers computes from the same file") {
    auto const file = model_file();
    if (!file) return;
    auto const expected = reference();
    auto const& tokens = expected["tokens"];
    auto const& logits = expected["logits"];
    auto const length = static_cast<std::size_t>(tokens.dims[1]),
               sampled = static_cast<std::size_t>(logits.dims[2]);
    fine_tuning<> run;
    run.load(*file);
    std::size_t const stride = 49152 / sampled;
    for (std::size_t s = 0; s < static_cast<std::size_t>(tokens.dims[0]); ++s) {
        std::vector<std::int32_t> sequence;
        for (std::size_t t = 0; t < length; ++t) {
            auto const at = s * length + t;
            sequence.push_back(static_cast<std::int32_t>(tokens.values[at]));
            auto const found = run.next_token_logits(sequence, static_cast<snug::index_t>(t));
            double squares = 0, apart = 0;
            for (auto const value : found) squares += static_cast<double>(value) * static_cast<double>(value);
            for (std::size_t i = 0; i < sampled; ++i)
                apart = std::max(apart, std::abs(static_cast<double>(found[i * stride]) -
                                                 logits.values[at * sampled + i]));
            INFO("sequence " << s << ", token " << t << ", relative difference "
                             << apart / expected["largest"].values[at]);
            CHECK(apart <= 1e-4 * expected["largest"].values[at]);
            CHECK(std::sqrt(squares) == Approx(expected["norm"].values[at]).epsilon(1e-4));
        }
    }
}

TEST_CASE("SmolLM2 has the perplexity of real text that transformers computes from the same file") {
    auto const file = model_file();
    if (!file) return;
    auto const expected = reference();
    auto const ids = ids_of_the_text(*file, expected);
    if (ids.empty()) return;
    auto const perplexity = std::exp(expected["text.loss"].values[0]);
    {
        fine_tuning<> run;
        run.load(*file);
        auto const found = std::exp(loss_of_the_text(run, ids));
        INFO("perplexity in fp32 " << found << ", transformers " << perplexity);
        CHECK(found == Approx(perplexity).epsilon(1e-4));
    }
    fine_tuning<precision::mixed<bf16>> run;
    run.load(*file);
    auto const found = std::exp(loss_of_the_text(run, ids));
    INFO("perplexity in mixed<bf16> " << found);
    CHECK(found == Approx(perplexity).epsilon(1e-2));
}
