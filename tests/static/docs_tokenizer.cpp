// SPDX-License-Identifier: Apache-2.0

// The code of docs/tokenizer.md and docs/fine_tuning_data.md, word for word. Apart from docs.cpp, as it needs PCRE2.
#include <algorithm>
#include <cstdint>
#include <iostream>
#include <snug/data/chat.hpp>
#include <snug/data/examples.hpp>
#include <snug/data/packed_batches.hpp>
#include <snug/data/tokenizer.hpp>
#include <snug/io/gguf.hpp>
#include <snug/snug.hpp>
#include <string>
#include <vector>

namespace documented_tokenizer {

struct my_trainer : snug::trainer<snug::models::smollm2_135m, snug::batch<4, 1024>> {};

// docs/tokenizer.md ------------------------------------------------------------------------------------------------

void show(std::string const& text) {
    auto const tokenizer = snug::io::tokenizer::from_gguf(snug::io::gguf("SmolLM2-135M-Instruct.Q4_1.gguf"));
    for (auto const token : tokenizer.encode(text))
        std::cout << token << " \"" << tokenizer.token(token) << "\"\n";
}

std::string reply(my_trainer& run, snug::io::tokenizer const& tokenizer,
                  std::vector<snug::io::message> const& messages) {
    snug::io::chat const chat(tokenizer);
    auto tokens = run.generate(chat.prompt(messages), {.tokens = 200});
    if (auto const end = chat.end_of_reply())
        tokens.erase(std::find(tokens.begin(), tokens.end(), *end), tokens.end());
    return tokenizer.decode(tokens);
}

// docs/fine_tuning_data.md -----------------------------------------------------------------------------------------

void fine_tune(my_trainer& run, snug::io::tokenizer const& tokenizer) {
    auto const data = snug::io::examples::from_json_lines("train.jsonl", tokenizer);
    auto batches = snug::io::packed_batches<my_trainer>(data, /* seed */ 7);
    for (auto const& batch : batches)  // one epoch
        std::cout << run.step(batch) << '\n';
}

void with_choices(snug::io::tokenizer const& tokenizer) {
    auto const data = snug::io::examples::from_json_lines(
        "train.jsonl", tokenizer, {.chat = snug::io::chat(tokenizer, {.system = "You are brief."})});
    auto const batches =
        snug::io::packed_batches<my_trainer>(data, /* seed */ 7, snug::io::long_examples::cut);
    std::cout << batches.packing().rows() << " rows, " << 100 * batches.packing().waste() << "% empty, "
              << batches.packing().cut() << " examples cut\n";
}

}  // namespace documented_tokenizer
