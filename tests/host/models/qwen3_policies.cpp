// SPDX-License-Identifier: Apache-2.0
// Policies over Qwen3: adapters of every kind, and that memory policies do not change its mathematics.
#include "family.hpp"

#include <snug/quantization/nf4.hpp>

namespace {

using adapters::lora;
using tied = models::qwen3<layers<2>, heads<4>, kv_heads<2>, head_width<8>, width<16>, mlp<24>,
                           vocabulary<26>, context<64>, tied_head<1>>;
family_files const files("qwen3");

template <class... Policies>
void changes_no_bit() {
    using checkpointing::group;
    auto const expected = checkpointing_changes_no_bit<tied, Policies...>(files);
    CHECK(history<fine_tuning<
              tied, Policies...,
              checkpointing::plan<group<1, checkpointing::selective>, group<1, checkpointing::none>>>>(
              files) == expected);
}

}  // namespace

TEST_CASE("DoRA, and LoRA with norms of heads that train, go to and from PEFT's files of a Qwen3") {
    exchange_dora_and_norms<tied>(files);
}

TEST_CASE("a Qwen3 trains as transformers' does whatever is kept for backward") {
    fine_tuning<tied, checkpointing::every_block> run;
    run.load(files.weights("tied"));
    files.check_training(run);
}

TEST_CASE("checkpointing does not change a bit of a Qwen3") {
    changes_no_bit<>();
    changes_no_bit<precision::mixed<bf16>>();
    changes_no_bit<lora<rank<4>>, quantization::nf4<16>>();
}
