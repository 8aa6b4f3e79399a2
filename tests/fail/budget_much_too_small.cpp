// SPDX-License-Identifier: Apache-2.0
// expected-error: weights_MiB<12853>.*master_weights_MiB<25706>.*gradients_MiB<25706>.*optimizer_state_MiB<51411>.*activations_MiB<[1-9].*workspace_MiB<[1-9].*staging_MiB<1>.*over_budget_by_MiB<[1-9]
#include <snug/plan.hpp>

struct fine_tuning : snug::trainer<snug::models::llama2_7b, snug::batch<1, 1024>,
                                   snug::precision::mixed<snug::bf16>, snug::checkpointing::every_block> {};

#ifdef REFUSED
static_assert(snug::fits<fine_tuning, snug::devices::rtx_4090>);
#else
static_assert(snug::fits<fine_tuning, snug::devices::h200>);
#endif
