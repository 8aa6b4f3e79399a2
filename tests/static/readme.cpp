// SPDX-License-Identifier: Apache-2.0

// The example of README.md, laid out as it stands there.
// clang-format off
#include <iostream>
#include <snug/snug.hpp>

using namespace snug::literals;

struct pretraining : snug::trainer<
    snug::models::smollm2_135m,
    snug::batch<8, 1024>,                            // sequences, tokens per sequence
    snug::precision::mixed<snug::bf16>,
    snug::accumulation::micro_batches<4>,
    snug::checkpointing::every_block,
    snug::optimizers::adamw<>> {                     // a struct has a short name in errors; an alias works too
    using trainer::trainer;                          // a seed can be given
};

static_assert(snug::fits<pretraining, snug::budget<3_GiB>>);            // out of memory is a compile error
static_assert(snug::footprint<pretraining>.activations < 450_MiB);      // any line of the bill can be asserted

int main() {
    auto run = pretraining{/* seed */ 42};
    for (auto const& batch : snug::io::token_batches<pretraining>{"train.bin"})
        std::cout << run.step(batch) << '\n';
    run.save("my-model.snapshot");
}
