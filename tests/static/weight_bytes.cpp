// SPDX-License-Identifier: Apache-2.0
// The weights of the presets at rest, and that they are what a trainer stores.
#include <snug/plan.hpp>
#include <snug/precision/formats.hpp>
#include <snug/quantization/schemes.hpp>

namespace {

using namespace snug;
namespace m = snug::models;
namespace q = snug::quantization;

// A number format: the published count times its size.
static_assert(weight_bytes<m::llama2_7b, bf16> == bytes{6'738'415'616 * 2});
static_assert(weight_bytes<m::llama2_7b, fp32> == bytes{6'738'415'616 * 4});
static_assert(weight_bytes<m::llama2_7b, snug::int8> == bytes{6'738'415'616});
static_assert(weight_bytes<m::gpt2_124m, fp16> == bytes{124'439'808 * 2});
static_assert(weight_bytes<m::llama3_8b, fp8_e4m3> == bytes{8'030'261'248});

// QLoRA's base: NF4 with quantized scales in the linear layers, bf16 elsewhere. Hundredths of a GiB, rounded up.
using qlora_base = q::double_quantized<q::nf4<64>>;
constexpr snug::index_t hundredths_of_a_gib(bytes amount) {
    return (amount.count * 100 + (1 << 30) - 1) >> 30;
}
static_assert(hundredths_of_a_gib(weight_bytes<m::llama2_7b, qlora_base>) <= 361);
static_assert(hundredths_of_a_gib(weight_bytes<m::llama2_13b, qlora_base>) <= 672);
static_assert(hundredths_of_a_gib(weight_bytes<m::llama2_70b, qlora_base>) <= 3390);
static_assert(hundredths_of_a_gib(weight_bytes<m::llama3_8b, qlora_base>) <= 532);

// By hand: 6,476,005,376 of the 7B's weights are in its linear layers, four matrices a block: queries, keys and values are
// one, gate and up are one. Each ends on a multiple of 64.
constexpr snug::index_t stored(snug::index_t rows, snug::index_t columns) {
    return round_up(qlora_base::storage({rows, columns}).count, 64);
}
static_assert(weight_bytes<m::llama2_7b, qlora_base>.count ==
              2 * (6'738'415'616 - 6'476'005'376) + 32 * (stored(3 * 4096, 4096) + stored(4096, 4096) +
                                                          stored(2 * 11008, 4096) + stored(4096, 11008)));

// What a trainer stores.
template <class Model, class Scheme, class Precision = precision::mixed<bf16>>
constexpr bool is_what_a_trainer_stores =
    footprint<trainer<Model, batch<1, 8>, Precision, Scheme>>.weights == weight_bytes<Model, Scheme>;
template <class Model, class T>
constexpr bool is_what_a_plain_trainer_stores =
    footprint<trainer<Model, batch<1, 8>, precision::full<T>>>.weights == weight_bytes<Model, T>;

static_assert(is_what_a_plain_trainer_stores<m::gpt2_124m, fp32>);
static_assert(is_what_a_plain_trainer_stores<m::smollm2_135m, fp64>);
static_assert(footprint<trainer<m::llama2_7b, batch<1, 8>, precision::pure<bf16>>>.weights ==
              weight_bytes<m::llama2_7b, bf16>);

static_assert(is_what_a_trainer_stores<m::llama2_70b, qlora_base>);
static_assert(is_what_a_trainer_stores<m::llama3_8b, q::nf4<64>>);
static_assert(is_what_a_trainer_stores<m::smollm2_135m, qlora_base>);
static_assert(is_what_a_trainer_stores<m::smollm2_135m, q::int8<256>, precision::mixed<fp16>>);
static_assert(is_what_a_trainer_stores<m::gpt2_124m, q::fp4<64>, precision::pure<bf16>>);
static_assert(is_what_a_trainer_stores<m::qwen2_5_0_5b, q::affine>);
static_assert(is_what_a_trainer_stores<m::gpt2_124m, q::quantile_4bit>);
static_assert(is_what_a_trainer_stores<m::gpt2_124m, q::outlier_split<q::threshold<6>, q::absmax>>);

// Of odd sizes, where most matrices end between multiples of 64.
using odd = m::llama<layers<3>, heads<3>, kv_heads<1>, width<18>, mlp<25>, vocabulary<29>, context<16>>;
static_assert(is_what_a_trainer_stores<odd, q::blockwise<q::absmax_4bit, 64>>);
static_assert(is_what_a_trainer_stores<odd, q::type_range<>>);
static_assert(weight_bytes<odd, q::nf4<64>>.count % 2 == 0);

}  // namespace
