// SPDX-License-Identifier: Apache-2.0
// Policies over a Mistral with a sliding window: adapters, and that memory policies do not change its mathematics.
#include "family.hpp"

#include <snug/quantization/nf4.hpp>

namespace {

using adapters::lora;
using tied = models::llama<layers<2>, heads<4>, kv_heads<2>, head_width<6>, width<16>, mlp<20>,
                           vocabulary<26>, context<64>, rope_theta<1000000>, norm_epsilon_inverse<1000000>,
                           sliding_window<8>, tied_head<1>>;
family_files const files("mistral");

}  // namespace

TEST_CASE("DoRA, and LoRA with norms that train, go to and from PEFT's files of a Mistral") {
    exchange_dora_and_norms<tied>(files);
}

TEST_CASE("checkpointing does not change a bit of a Mistral") {
    checkpointing_changes_no_bit<tied, precision::mixed<bf16>>(files);
    checkpointing_changes_no_bit<tied, lora<rank<4>>, quantization::nf4<16>>(files);
}
