// SPDX-License-Identifier: Apache-2.0
// Slices of decoded weights in the plan of a GPU.
#include <snug/plan.hpp>

using namespace snug;
using backend::cuda::decoded_columns, backend::cuda::quantized_matmul_workspace_bytes;

namespace {

constexpr index_t mebibyte = 1 << 20;
constexpr index_t library = backend::cuda::library_workspace;

// Llama-2 7B's layers in 16 bits: whole, or in as few equal slices as there are.
static_assert(decoded_columns(4096, 4096, 2) == 4096);
static_assert(decoded_columns(12288, 4096, 2) == 6144);
static_assert(decoded_columns(22016, 4096, 2) == 7424);
static_assert(decoded_columns(4096, 11008, 2) == 2048);
static_assert(decoded_columns(100, 64, 2) == 100);
// A slice is at least as wide as a tile.
static_assert(decoded_columns(4096, 4096, 2, 1) == 128);

static_assert(quantized_matmul_workspace_bytes<bf16>(1024, 4096, 4096) == library + 32 * mebibyte);
static_assert(quantized_matmul_workspace_bytes<bf16>(4096, 22016, 4096) == library + 58 * mebibyte);
// Few rows, and fp64, are snug's own kernels'.
static_assert(quantized_matmul_workspace_bytes<bf16>(512, 4096, 4096) == 0);
static_assert(quantized_matmul_workspace_bytes<double>(4096, 4096, 4096) == 0);

template <index_t Sequences>
struct tuning : trainer<models::llama2_7b, batch<Sequences, 512>, precision::mixed<bf16>,
                        quantization::double_quantized<quantization::nf4<64>>, adapters::lora<rank<16>>,
                        checkpointing::every_block, on<cuda>> {};
static_assert(fits<tuning<1>, devices::rtx_3070>);

}  // namespace
