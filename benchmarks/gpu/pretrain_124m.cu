// SPDX-License-Identifier: Apache-2.0
/// Pretraining of GPT-2 124M, micro-batches of 32 x 1024 random tokens, mixed<bf16>, AdamW: tokens/s, MFU, memory.
///
///   benchmark.gpu.pretrain_124m [steps]
///
/// -DSNUG_MICRO_BATCHES=n: n micro-batches to a step (1).

#include "pretrain.cuh"

#ifndef SNUG_MICRO_BATCHES
#define SNUG_MICRO_BATCHES 1
#endif

namespace {

struct training
    : pretrain::training<snug::models::gpt2_124m, 32, snug::checkpointing::none, SNUG_MICRO_BATCHES> {};

}  // namespace

template struct snug::require_fit<training, snug::devices::h100_80gb>;
static_assert(snug::fits<training, snug::devices::h100_80gb>);

int main(int argc, char** argv) { return pretrain::run<training>("GPT-2 124M", argc, argv); }
