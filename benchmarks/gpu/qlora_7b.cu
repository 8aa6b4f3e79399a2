// SPDX-License-Identifier: Apache-2.0
/// Fine-tuning of a model of Llama-2 7B's shape: NF4 weights with quantized scales, LoRA of rank 16 on all linear layers,
/// mixed<bf16>, every block computed again, AdamW; random weights and tokens; batches 1 x 512 and 4 x 1024, and the latter with
/// the optimizer's states in host memory.
///
///   benchmark.gpu.qlora_7b [steps [part of a trainer's name]]
///
/// The host makes and quantizes 6.6 billion random weights for each trainer: a minute on 16 cores, more on fewer. `512`, `device`
/// and `paged` name one of them each.

#include "training.cuh"

#include <snug/quantization/double_quantized.hpp>
#include <snug/quantization/nf4.hpp>
#include <string_view>

namespace {

template <snug::index_t Sequences, snug::index_t Tokens, class Optimizer>
struct training : snug::trainer<snug::models::llama2_7b, snug::batch<Sequences, Tokens>,
                                snug::precision::mixed<snug::bf16>,
                                snug::quantization::double_quantized<snug::quantization::nf4<64>>,
                                snug::adapters::lora<snug::rank<16>, snug::alpha<32>>,
                                snug::checkpointing::every_block, Optimizer, snug::on<snug::cuda>> {};

struct small : training<1, 512, snug::optimizers::adamw<>> {};
struct large : training<4, 1024, snug::optimizers::adamw<>> {};
struct large_paged : training<4, 1024, snug::optimizers::paged<snug::optimizers::adamw<>>> {};

/// Of a step: the model's products, which are 4 N for each token and 6 of the adapter's parameters, since frozen weights have no
/// gradient, and attention's, not halved for being causal. Computing a block again is not counted.
template <class Training>
constexpr double flop =
    static_cast<double>(snug::work<Training>.model().products) + measure::whole_attention<Training>;

std::string_view filter = "";

template <class Training>
void measure_one(char const* name, int steps) {
    if (std::string_view(name).find(filter) == std::string_view::npos) return;
    measure::print_training<Training>(name, steps, flop<Training>);
}

}  // namespace

template struct snug::require_fit<large, snug::devices::h100_80gb>;
static_assert(snug::fits<small, snug::devices::rtx_3070>);  // the batch that 8 GB hold

int main(int argc, char** argv) {
    return measure::reported([&] {
        int const steps = measure::count_argument(std::min(argc, 2), argv, 10);
        if (argc > 2) filter = argv[2];
        measure::print_device();
        std::printf(
            "4 N + 6 trained + 12 x 32 x 4096 x T FLOP per token (N without the embedding's table and the "
            "norms; what is computed again is not counted)\n");
        measure_one<small>("Llama-2 7B QLoRA 1 x 512", steps);
        measure_one<large>("Llama-2 7B QLoRA 4 x 1024, states on the device", steps);
        measure_one<large_paged>("Llama-2 7B QLoRA 4 x 1024, paged states", steps);
    });
}
