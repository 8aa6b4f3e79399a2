// SPDX-License-Identifier: Apache-2.0
// The same trainer from the same weights on the host and on the device: what they find agrees to rounding.
#pragma once

#include "agreement.hpp"

TEST_CASE("full precision agrees on host and device") {
    using optimizers::adamw, optimizers::lion, optimizers::states;
    agree<both<gpt2, batch<2, 32>>>(fp32_bound);
    agree<both<llama, batch<2, 32>, accumulation::micro_batches<2>, adamw<states<int8>>>>(fp32_bound, true);
    agree<both<odd, batch<2, 13>, optimizers::sgd<>, checkpointing::every_block>>(fp32_bound);
    agree<both<qwen3, batch<2, 32>, lion<>>>(fp32_bound, true);
}

TEST_CASE("16-bit precisions agree on host and device") {
    using optimizers::adamw, optimizers::lion, optimizers::states, optimizers::paged;
    agree<both<gpt2, batch<2, 32>, precision::mixed<bf16>, checkpointing::selective,
               paged<adamw<states<int8>>>>>(bf16_bound);
    agree<both<llama, batch<2, 32>, precision::mixed<fp16>, lion<states<int8>>>>(fp16_bound);
    agree<both<llama, batch<2, 32>, precision::pure<bf16>, checkpointing::every_block>>(bf16_bound, true);
    agree<both<odd, batch<2, 13>, precision::mixed<bf16>>>(bf16_bound);
    agree<both<qwen3, batch<2, 32>, precision::mixed<bf16>, checkpointing::selective,
               adamw<states<snug::int4>>>>(bf16_bound);
}
