// SPDX-License-Identifier: Apache-2.0
// Policies over Qwen3: adapters of every kind, and that memory policies do not change its mathematics.
#include "family.hpp"

#include <snug/quantization/nf4.hpp>

namespace {

using adapters::dora;
using adapters::lora;
using tied = models::qwen3<layers<2>, heads<4>, kv_heads<2>, head_width<8>, width<16>, mlp<24>,
                           vocabulary<26>, context<64>, tied_head<1>>;
template <class Adapter>
using adapted = fine_tuning<tied, Adapter>;
family_files const files("qwen3");

template <class... Policies>
std::vector<std::byte> trained() {
    return history<fine_tuning<tied, Policies...>>(files);
}

template <class... Policies>
void checkpointing_changes_no_bit() {
    auto const expected = trained<Policies...>();
    CHECK(trained<Policies..., checkpointing::every_block>() == expected);
    CHECK(trained<Policies..., checkpointing::selective>() == expected);
    CHECK(trained<Policies..., checkpointing::plan<checkpointing::group<1, checkpointing::selective>,
                                                   checkpointing::group<1, checkpointing::none>>>() ==
          expected);
}

}  // namespace

TEST_CASE("DoRA, and LoRA with norms of heads that train, go to and from PEFT's files of a Qwen3") {
    files.exchange<adapted<dora<rank<4>, alpha<8>, targets<"q_proj", "v_proj", "down_proj">>>>("dora");
    files.exchange<adapted<lora<rank<4>, alpha<8>, targets<"q_proj", "k_proj">, also_train<norms>>>>(
        "lora_norms");
}

TEST_CASE("a Qwen3 trains as transformers' does whatever is kept for backward") {
    fine_tuning<tied, checkpointing::every_block> run;
    run.load(files.weights("tied"));
    files.check_training(run);
}

TEST_CASE("checkpointing does not change a bit of a Qwen3") {
    checkpointing_changes_no_bit<>();
    checkpointing_changes_no_bit<precision::mixed<bf16>>();
    checkpointing_changes_no_bit<lora<rank<4>>, quantization::nf4<16>>();
}
