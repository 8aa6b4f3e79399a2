// SPDX-License-Identifier: Apache-2.0
// Policies over SmolLM3, whose blocks are of two kinds: adapters, and that memory policies do not change its
// mathematics.
#include "family.hpp"

#include <snug/quantization/nf4.hpp>

namespace {

using adapters::lora;
using tied = models::smollm3<layers<3>, heads<4>, kv_heads<2>, width<16>, mlp<20>, vocabulary<26>,
                             context<64>, rope_theta<1000000>, no_rope_layer_interval<2>>;
family_files const files("smollm3");

}  // namespace

TEST_CASE("DoRA, and LoRA with norms that train, go to and from PEFT's files of a SmolLM3") {
    exchange_dora_and_norms<tied>(files);
}

TEST_CASE("checkpointing does not change a bit of a SmolLM3") {
    checkpointing_changes_no_bit<tied>(files);
    checkpointing_changes_no_bit<tied, precision::mixed<bf16>>(files);
    checkpointing_changes_no_bit<tied, lora<rank<4>>, quantization::nf4<16>>(files);
}
