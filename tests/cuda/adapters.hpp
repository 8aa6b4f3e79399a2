// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <snug/plan.hpp>

struct doubly_quantized
    : snug::trainer<snug::models::smollm2_135m, snug::batch<4, 256>, snug::precision::mixed<snug::bf16>,
                    snug::quantization::double_quantized<snug::quantization::nf4<64>>,
                    snug::adapters::lora<snug::rank<16>, snug::alpha<32>>, snug::checkpointing::every_block,
                    snug::on<snug::cuda>> {};
static_assert(snug::trainable_parameter_count<doubly_quantized> == 4'884'480);
static_assert(snug::footprint<doubly_quantized>.weights.count == 121'243'776);
static_assert(snug::footprint<doubly_quantized>.total.count == 321'063'104);

struct with_magnitudes
    : snug::trainer<snug::models::llama2_7b, snug::batch<1, 512>, snug::precision::mixed<snug::bf16>,
                    snug::quantization::int8<64>,
                    snug::adapters::dora<snug::rank<8>, snug::alpha<16>, snug::targets<"q_proj", "v_proj">>,
                    snug::checkpointing::every_block, snug::on<snug::cuda>> {};
static_assert(snug::trainable_parameter_count<with_magnitudes> == 4'456'448);
static_assert(snug::footprint<with_magnitudes>.total.count == 7'849'656'384);
