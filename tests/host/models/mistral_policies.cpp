// SPDX-License-Identifier: Apache-2.0
// Policies over a Mistral with a sliding window: adapters, and that memory policies do not change its mathematics.
#include "family.hpp"

#include <snug/quantization/nf4.hpp>

namespace {

using adapters::dora;
using adapters::lora;
using tied = models::llama<layers<2>, heads<4>, kv_heads<2>, head_width<6>, width<16>, mlp<20>,
                           vocabulary<26>, context<64>, rope_theta<1000000>, norm_epsilon_inverse<1000000>,
                           sliding_window<8>, tied_head<1>>;
template <class Adapter>
using adapted = fine_tuning<tied, Adapter>;
family_files const files("mistral");

template <class... Policies>
void checkpointing_changes_no_bit() {
    auto const expected = history<fine_tuning<tied, Policies...>>(files);
    CHECK(history<fine_tuning<tied, Policies..., checkpointing::every_block>>(files) == expected);
    CHECK(history<fine_tuning<tied, Policies..., checkpointing::selective>>(files) == expected);
}

}  // namespace

TEST_CASE("DoRA, and LoRA with norms that train, go to and from PEFT's files of a Mistral") {
    files.exchange<adapted<dora<rank<4>, alpha<8>, targets<"q_proj", "v_proj", "down_proj">>>>("dora");
    files.exchange<adapted<lora<rank<4>, alpha<8>, targets<"q_proj", "k_proj">, also_train<norms>>>>(
        "lora_norms");
}

TEST_CASE("checkpointing does not change a bit of a Mistral") {
    checkpointing_changes_no_bit<precision::mixed<bf16>>();
    checkpointing_changes_no_bit<lora<rank<4>>, quantization::nf4<16>>();
}
