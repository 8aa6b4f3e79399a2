// SPDX-License-Identifier: Apache-2.0
// The same trainer of adapters, over bases of full width and quantized ones, on the host and on the device. Apart from the other
// trainers (host_and_device.hpp), for either half takes minutes to compile.
#pragma once

#include "agreement.hpp"

#include <snug/quantization/schemes.hpp>

namespace {

using adapters::lora, adapters::dora;
using doubly = quantization::double_quantized<quantization::nf4<64>>;

}  // namespace

TEST_CASE("adapters agree on host and device") {
    agree<both<llama, batch<2, 32>, lora<rank<4>>, optimizers::paged<optimizers::adamw<>>>>(fp32_bound);
    agree<both<gpt2, batch<8, 32>, lora<rank<4>, dropout<std::ratio<1, 4>>, targets<"c_attn">>>>(fp32_bound);
    agree<both<llama, batch<2, 32>, dora<rank<4>>, precision::mixed<bf16>>>(bf16_bound);
}

TEST_CASE("quantized bases agree on host and device") {
    // Of 1024 rows on, a device decodes slices of the weights; of 256 rows on, it adds products one after the other.
    agree<both<llama, batch<32, 32>, lora<rank<4>>, quantization::nf4<64>>>(fp32_bound);
    agree<
        both<llama, batch<2, 32>, lora<rank<4>>, doubly, precision::mixed<bf16>, checkpointing::every_block>>(
        bf16_bound, true);
    agree<both<llama, batch<32, 32>, dora<rank<4>>, quantization::int8<64>, precision::mixed<bf16>>>(
        bf16_bound);
}
