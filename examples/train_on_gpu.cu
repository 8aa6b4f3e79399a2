// SPDX-License-Identifier: Apache-2.0
// train_on_gpu [train.bin]: pretrains GPT-2 124M on a GPU, on tokens of a .bin file of llm.c or nanoGPT, or on random ones.
#include <cstdint>
#include <iostream>
#include <snug/snug.cuh>
#include <span>
#include <vector>

#include "support/output.hpp"

using namespace snug::literals;

struct pretraining
    : snug::trainer<snug::models::gpt2_124m, snug::batch<8, 1024>,  // sequences, tokens of each
                    snug::precision::mixed<snug::bf16>, snug::on<snug::cuda>> {};

static_assert(snug::fits<pretraining, snug::devices::rtx_3090>);  // out of memory is a compile error

int main(int argc, char** argv) try {
    auto run = pretraining{};
    if (argc > 1) {
        for (auto const& batch : snug::io::token_batches<pretraining>{argv[1]})
            std::cout << run.step(batch) << '\n';
        run.save("gpt2.snapshot");
        return example::finished("train_on_gpu");
    }
    std::vector<std::int32_t> tokens(static_cast<std::size_t>(pretraining::tokens_per_step) + 1);
    for (std::size_t i = 0; i < tokens.size(); ++i)
        tokens[i] = static_cast<std::int32_t>(snug::random::bits(1, 0, i) % 50257);
    std::span const all(tokens);
    for (int i = 0; i < 10; ++i)
        std::cout << run.step({all.first(all.size() - 1), all.last(all.size() - 1)}) << '\n';
    return example::finished("train_on_gpu");
} catch (snug::error const& e) {
    std::cerr << "train_on_gpu: " << e.what() << '\n';
    return 1;
}
