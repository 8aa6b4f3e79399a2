// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "training.cuh"

namespace pretrain {

/// GPT-2 over 1024 tokens, mixed<bf16>, AdamW with fp32 states and clipping, random tokens.
template <class Model, snug::index_t Sequences, class Checkpointing, snug::index_t MicroBatches>
struct training
    : snug::trainer<Model, snug::batch<Sequences, 1024>, snug::precision::mixed<snug::bf16>, Checkpointing,
                    snug::accumulation::micro_batches<MicroBatches>, snug::on<snug::cuda>> {};

template <class Training>
int run(char const* name, int argc, char** argv) {
    return measure::reported([&] {
        int const steps = measure::count_argument(argc, argv, 20);
        measure::print_device();
        constexpr auto flop = measure::pretraining_flop<Training>;
        std::printf(
            "N = %lld parameters (positions and the tied table once); 6 N + 12 x layers x width x 1024 = "
            "%.4e "
            "FLOP per token\n",
            static_cast<long long>(snug::parameter_count<typename Training::composition::model>),
            flop / static_cast<double>(Training::tokens_per_step));
        measure::print_training<Training>(name, steps, flop);
    });
}

}  // namespace pretrain
