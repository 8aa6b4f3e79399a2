// SPDX-License-Identifier: Apache-2.0
// expected-error: the training step does not fit its memory budget
// expected-error: weights_MiB<12853L?>.*master_weights_MiB<25706L?>.*gradients_MiB<25706L?>.*optimizer_state_MiB<51411L?>.*activations_MiB<[1-9].*workspace_MiB<[1-9].*staging_MiB<1L?>.*communication_MiB<0L?>.*over_budget_by_MiB<[1-9]
// nvcc
#include <snug/plan.hpp>

struct fine_tuning : snug::trainer<snug::models::llama2_7b, snug::batch<1, 1024>,
                                   snug::precision::mixed<snug::bf16>, snug::checkpointing::every_block> {};

#ifdef REFUSED
template struct snug::require_fit<fine_tuning, snug::devices::rtx_4090>;
#else
template struct snug::require_fit<fine_tuning, snug::devices::h200>;
#endif
