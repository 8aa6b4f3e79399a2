// SPDX-License-Identifier: Apache-2.0
// Policies over SmolLM3, whose blocks are of two kinds: adapters, and that memory policies do not change its mathematics.
#include "family.hpp"

#include <snug/quantization/nf4.hpp>

namespace {

using adapters::dora;
using adapters::lora;
using tied = models::smollm3<layers<3>, heads<4>, kv_heads<2>, width<16>, mlp<20>, vocabulary<26>,
                             context<64>, rope_theta<1000000>, no_rope_layer_interval<2>>;
template <class Adapter>
using adapted = fine_tuning<tied, Adapter>;
family_files const files("smollm3");

template <class... Policies>
void checkpointing_changes_no_bit() {
    auto const expected = history<fine_tuning<tied, Policies...>>(files);
    CHECK(history<fine_tuning<tied, Policies..., checkpointing::every_block>>(files) == expected);
    CHECK(history<fine_tuning<tied, Policies..., checkpointing::selective>>(files) == expected);
}

}  // namespace

TEST_CASE("DoRA, and LoRA with norms that train, go to and from PEFT's files of a SmolLM3") {
    files.exchange<adapted<dora<rank<4>, alpha<8>, targets<"q_proj", "v_proj", "down_proj">>>>("dora");
    files.exchange<adapted<lora<rank<4>, alpha<8>, targets<"q_proj", "k_proj">, also_train<norms>>>>(
        "lora_norms");
}

TEST_CASE("checkpointing does not change a bit of a SmolLM3") {
    checkpointing_changes_no_bit<>();
    checkpointing_changes_no_bit<precision::mixed<bf16>>();
    checkpointing_changes_no_bit<lora<rank<4>>, quantization::nf4<16>>();
}
