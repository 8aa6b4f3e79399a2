// SPDX-License-Identifier: Apache-2.0
// Compiled once for each of two processors, as SNUG_TEST_TRAIN: the same trainer, whose numbers are printed to the last bit.
#include <snug/snug.hpp>

#include <cstdint>
#include <cstdio>
#include <span>
#include <string>
#include <vector>

void SNUG_TEST_TRAIN(char const* who, char const* folder) {
    using namespace snug;
    // No struct derived from it, in whose name a mistake of snug's could hide. In fp32, where a fused product is another number.
    using adapted =
        trainer<models::llama<layers<2>, heads<2>, width<64>, mlp<128>, vocabulary<96>, context<32>>,
                batch<2, 32>, precision::full<float>, quantization::nf4<64>,
                adapters::lora<rank<4>, alpha<8>>, checkpointing::every_block>;
    std::vector<std::int32_t> tokens(65);
    for (std::size_t i = 0; i < tokens.size(); ++i) tokens[i] = static_cast<std::int32_t>(i * i % 96);
    token_batch const one{std::span(tokens).first(64), std::span(tokens).last(64)};

    adapted run(7);
    auto const step = run.step(one);
    auto const file = std::string(folder) + "/" + who;
    run.save(file + ".snapshot");
    run.save_adapter(file);
    adapted again(7);
    again.resume(file + ".snapshot");
    std::printf("%s: loss %a, norm %a, then %a; writes", who, step.loss, step.gradient_norm,
                again.evaluate(one).loss);
    for (auto token : again.generate(std::span(tokens).first(4), {.tokens = 4}))
        std::printf(" %d", static_cast<int>(token));
    std::printf("\n");
}
