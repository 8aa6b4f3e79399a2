// SPDX-License-Identifier: Apache-2.0

// docs/fine_tuning.md: what each policy takes off the bill of the job in examples/fine_tune.cpp.
#include <snug/plan.hpp>
#include <snug/quantization/double_quantized.hpp>
#include <snug/quantization/nf4.hpp>

namespace {

using namespace snug;

template <class... Policies>
using job = trainer<models::smollm2_135m, batch<4, 256>, precision::mixed<bf16>, Policies...>;

using low_rank = adapters::lora<rank<16>, alpha<32>>;
using nf4 = quantization::nf4<64>;
using nf4_twice = quantization::double_quantized<nf4>;

using full = job<>;
using lora = job<low_rank>;
using with_nf4 = job<low_rank, nf4>;
using with_scales = job<low_rank, nf4_twice>;
using with_checkpointing = job<low_rank, nf4_twice, checkpointing::every_block>;
using with_states =
    job<low_rank, nf4_twice, checkpointing::every_block, optimizers::adamw<optimizers::states<int8>>>;

/// The total is `size`, rounded down to whole MiB.
template <class T>
constexpr bool takes(bytes size) {
    return size <= footprint<T>.total && footprint<T>.total < size + 1_MiB;
}

static_assert(takes<full>(2894_MiB));
static_assert(takes<lora>(932_MiB));
static_assert(takes<with_nf4>(786_MiB));
static_assert(takes<with_scales>(782_MiB));
static_assert(takes<with_checkpointing>(312_MiB));
static_assert(takes<with_states>(285_MiB));

// Each takes off its own line.
static_assert(trainable_parameter_count<full> == 134'515'008 && trainable_parameter_count<lora> == 4'884'480);
static_assert(20 * footprint<lora>.optimizer_state < footprint<full>.optimizer_state);
static_assert(2 * footprint<with_nf4>.weights < footprint<lora>.weights);
static_assert(footprint<with_scales>.weights + 4_MiB < footprint<with_nf4>.weights);
static_assert(9 * footprint<with_checkpointing>.activations < footprint<with_scales>.activations);
static_assert(3 * footprint<with_states>.optimizer_state < footprint<with_checkpointing>.optimizer_state);

}  // namespace
