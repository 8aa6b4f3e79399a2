// SPDX-License-Identifier: Apache-2.0
/// Pretraining of GPT-2 1558M, micro-batches of 16 x 1024 random tokens, mixed<bf16>, AdamW, every activation kept: 63.9 GiB of
/// an H100's 80: tokens/s, MFU, memory.
///
///   benchmark.gpu.pretrain_1558m [steps]
///
/// -DSNUG_MICRO_BATCHES=n: n micro-batches to a step (1). The update moves 38 bytes a parameter, 59 GB: with one micro-batch that
/// is some 7 % of a step, as published figures with half a million tokens to a step do not have it.

#include "pretrain.cuh"

#ifndef SNUG_MICRO_BATCHES
#define SNUG_MICRO_BATCHES 1
#endif

namespace {

struct training
    : pretrain::training<snug::models::gpt2_1558m, 16, snug::checkpointing::none, SNUG_MICRO_BATCHES> {};

}  // namespace

template struct snug::require_fit<training, snug::devices::h100_80gb>;
static_assert(snug::fits<training, snug::devices::h100_80gb>);

int main(int argc, char** argv) { return pretrain::run<training>("GPT-2 1558M", argc, argv); }
