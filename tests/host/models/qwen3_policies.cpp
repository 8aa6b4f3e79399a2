// SPDX-License-Identifier: Apache-2.0
// Policies over Qwen3: adapters of every kind, and that memory policies do not change its mathematics.
#include "qwen3.hpp"

#include <cstddef>
#include <snug/quantization/nf4.hpp>

namespace {

using adapters::dora;
using adapters::lora;
template <class Adapter>
using adapted = fine_tuning<tied, Adapter>;

/// Losses and norms of three steps, then the weights, as bits.
template <class... Policies>
std::vector<std::byte> history() {
    using run_type = fine_tuning<tied, Policies...>;
    run_type run;
    if constexpr (std::is_same_v<typename run_type::composition::quantization, quantization::none>)
        run.load(io::safetensors(data + "tied"));
    run.options.learning_rate = schedule::constant(0.05);
    std::vector<double> numbers;
    for (std::size_t step = 0; step < 3; ++step) {
        auto const inputs = tiny::integers(reference()["inputs"], step * 48, 48);
        auto const targets = tiny::integers(reference()["targets"], step * 48, 48);
        auto const result = run.step({inputs, targets});
        numbers.insert(numbers.end(), {result.loss, result.gradient_norm});
    }
    auto const bytes = std::as_bytes(std::span(numbers));
    std::vector<std::byte> all(bytes.begin(), bytes.end());
    tiny::for_each_tensor<run_type>([&](auto const& entry, index_t copy, std::string const&) {
        if (entry.is_quantized() || copy != 0) return;
        auto const weights = run.copy_of_weights(entry.name.view());
        auto const bits = std::as_bytes(std::span(weights));
        all.insert(all.end(), bits.begin(), bits.end());
    });
    return all;
}

template <class... Policies>
void checkpointing_changes_no_bit() {
    auto const expected = history<Policies...>();
    CHECK(history<Policies..., checkpointing::every_block>() == expected);
    CHECK(history<Policies..., checkpointing::selective>() == expected);
    CHECK(history<Policies..., checkpointing::plan<checkpointing::group<1, checkpointing::selective>,
                                                   checkpointing::group<1, checkpointing::none>>>() ==
          expected);
}

}  // namespace

TEST_CASE("DoRA, and LoRA with norms of heads that train, go to and from PEFT's files of a Qwen3") {
    exchange<adapted<dora<rank<4>, alpha<8>, targets<"q_proj", "v_proj", "down_proj">>>>("dora");
    exchange<adapted<lora<rank<4>, alpha<8>, targets<"q_proj", "k_proj">, also_train<norms>>>>("lora_norms");
}

TEST_CASE("a Qwen3 trains as transformers' does whatever is kept for backward") {
    fine_tuning<tied, checkpointing::every_block> run;
    run.load(io::safetensors(data + "tied"));
    check_training(run);
}

TEST_CASE("checkpointing does not change a bit of a Qwen3") {
    checkpointing_changes_no_bit<>();
    checkpointing_changes_no_bit<precision::mixed<bf16>>();
    checkpointing_changes_no_bit<lora<rank<4>>, quantization::nf4<16>>();
}
