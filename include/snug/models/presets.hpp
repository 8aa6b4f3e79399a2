// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <snug/models/gemma.hpp>
#include <snug/models/gpt2.hpp>
#include <snug/models/llama.hpp>
#include <snug/models/qwen3.hpp>
#include <snug/models/smollm3.hpp>

/// Published models by name. Structs rather than aliases: errors and reports print the short name.
namespace snug::SNUG_TARGET::models {

// GPT-2, OpenAI 2019.
struct gpt2_124m : gpt2<layers<12>, heads<12>, width<768>, vocabulary<50257>, context<1024>> {};
struct gpt2_355m : gpt2<layers<24>, heads<16>, width<1024>, vocabulary<50257>, context<1024>> {};
struct gpt2_774m : gpt2<layers<36>, heads<20>, width<1280>, vocabulary<50257>, context<1024>> {};
struct gpt2_1558m : gpt2<layers<48>, heads<25>, width<1600>, vocabulary<50257>, context<1024>> {};

// Llama 2, arXiv 2307.09288.
struct llama2_7b : llama<layers<32>, heads<32>, width<4096>, mlp<11008>, vocabulary<32000>, context<4096>> {};
struct llama2_13b : llama<layers<40>, heads<40>, width<5120>, mlp<13824>, vocabulary<32000>, context<4096>> {
};
struct llama2_70b
    : llama<layers<80>, heads<64>, kv_heads<8>, width<8192>, mlp<28672>, vocabulary<32000>, context<4096>> {};

// Llama 3, arXiv 2407.21783.
struct llama3_8b : llama<layers<32>, heads<32>, kv_heads<8>, width<4096>, mlp<14336>, vocabulary<128256>,
                         context<8192>, rope_theta<500000>> {};
struct llama3_70b : llama<layers<80>, heads<64>, kv_heads<8>, width<8192>, mlp<28672>, vocabulary<128256>,
                          context<8192>, rope_theta<500000>> {};

// Llama 3.1 (2024): as Llama 3, with scaled rotary frequencies.
struct llama3_1_8b : llama<layers<32>, heads<32>, kv_heads<8>, width<4096>, mlp<14336>, vocabulary<128256>,
                           context<131072>, rope_theta<500000>, rope_scaling<rope::llama3<8>>> {};
struct llama3_1_70b : llama<layers<80>, heads<64>, kv_heads<8>, width<8192>, mlp<28672>, vocabulary<128256>,
                            context<131072>, rope_theta<500000>, rope_scaling<rope::llama3<8>>> {};

// Llama 3.2 (2024): heads tied to the embedding, and scaled rotary frequencies.
struct llama3_2_1b
    : llama<layers<16>, heads<32>, kv_heads<8>, width<2048>, mlp<8192>, vocabulary<128256>, context<131072>,
            rope_theta<500000>, rope_scaling<rope::llama3<32>>, tied_head<1>> {};
struct llama3_2_3b
    : llama<layers<28>, heads<24>, kv_heads<8>, width<3072>, mlp<8192>, vocabulary<128256>, context<131072>,
            rope_theta<500000>, rope_scaling<rope::llama3<32>>, tied_head<1>> {};

// Mistral 7B, arXiv 2310.06825: v0.1, with a sliding window, and v0.3, without one; Mistral NeMo, Small and Ministral
// (2024).
struct mistral_7b : llama<layers<32>, heads<32>, kv_heads<8>, width<4096>, mlp<14336>, vocabulary<32000>,
                          context<32768>, sliding_window<4096>> {};
struct mistral_7b_v0_3 : llama<layers<32>, heads<32>, kv_heads<8>, width<4096>, mlp<14336>, vocabulary<32768>,
                               context<32768>, rope_theta<1000000>> {};
struct mistral_nemo_12b : llama<layers<40>, heads<32>, kv_heads<8>, head_width<128>, width<5120>, mlp<14336>,
                                vocabulary<131072>, context<131072>, rope_theta<1000000>> {};
struct mistral_small_24b : llama<layers<40>, heads<32>, kv_heads<8>, head_width<128>, width<5120>, mlp<32768>,
                                 vocabulary<131072>, context<32768>, rope_theta<100000000>> {};
struct ministral_8b : llama<layers<36>, heads<32>, kv_heads<8>, width<4096>, mlp<12288>, vocabulary<131072>,
                            context<32768>, rope_theta<100000000>> {};

// SmolLM2, arXiv 2502.02737.
struct smollm2_135m : llama<layers<30>, heads<9>, kv_heads<3>, width<576>, mlp<1536>, vocabulary<49152>,
                            context<8192>, rope_theta<100000>, tied_head<1>> {};
struct smollm2_360m : llama<layers<32>, heads<15>, kv_heads<5>, width<960>, mlp<2560>, vocabulary<49152>,
                            context<8192>, rope_theta<100000>, tied_head<1>> {};
struct smollm2_1_7b : llama<layers<24>, heads<32>, width<2048>, mlp<8192>, vocabulary<49152>, context<8192>,
                            rope_theta<130000>, tied_head<1>> {};

// SmolLM3 (Hugging Face, 2025).
struct smollm3_3b : smollm3<layers<36>, heads<16>, kv_heads<4>, width<2048>, mlp<11008>, vocabulary<128256>,
                            context<65536>> {};

// Gemma 3, arXiv 2503.19786; of 4b and up, what reads text.
struct gemma3_270m : gemma3<layers<18>, heads<4>, kv_heads<1>, head_width<256>, width<640>, mlp<2048>,
                            vocabulary<262144>, context<32768>, sliding_window<512>> {};
struct gemma3_1b : gemma3<layers<26>, heads<4>, kv_heads<1>, head_width<256>, width<1152>, mlp<6912>,
                          vocabulary<262144>, context<32768>, sliding_window<512>> {};
struct gemma3_4b
    : gemma3<layers<34>, heads<8>, kv_heads<4>, head_width<256>, width<2560>, mlp<10240>, vocabulary<262208>,
             context<131072>, sliding_window<1024>, rope_scaling<rope::linear<8>>> {};
struct gemma3_12b
    : gemma3<layers<48>, heads<16>, kv_heads<8>, head_width<256>, width<3840>, mlp<15360>, vocabulary<262208>,
             context<131072>, sliding_window<1024>, rope_scaling<rope::linear<8>>> {};
struct gemma3_27b : gemma3<layers<62>, heads<32>, kv_heads<16>, head_width<128>, width<5376>, mlp<21504>,
                           vocabulary<262208>, context<131072>, sliding_window<1024>, query_scalar<168>,
                           rope_scaling<rope::linear<8>>> {};

// Qwen2.5, arXiv 2412.15115.
struct qwen2_5_0_5b
    : llama<layers<24>, heads<14>, kv_heads<2>, width<896>, mlp<4864>, vocabulary<151936>, context<32768>,
            rope_theta<1000000>, norm_epsilon_inverse<1000000>, tied_head<1>, qkv_bias<1>> {};
struct qwen2_5_1_5b
    : llama<layers<28>, heads<12>, kv_heads<2>, width<1536>, mlp<8960>, vocabulary<151936>, context<32768>,
            rope_theta<1000000>, norm_epsilon_inverse<1000000>, tied_head<1>, qkv_bias<1>> {};
struct qwen2_5_7b : llama<layers<28>, heads<28>, kv_heads<4>, width<3584>, mlp<18944>, vocabulary<152064>,
                          context<32768>, rope_theta<1000000>, norm_epsilon_inverse<1000000>, qkv_bias<1>> {};

// Qwen3, arXiv 2505.09388.
struct qwen3_0_6b : qwen3<layers<28>, heads<16>, kv_heads<8>, head_width<128>, width<1024>, mlp<3072>,
                          vocabulary<151936>, context<40960>, tied_head<1>> {};
struct qwen3_1_7b : qwen3<layers<28>, heads<16>, kv_heads<8>, head_width<128>, width<2048>, mlp<6144>,
                          vocabulary<151936>, context<40960>, tied_head<1>> {};
struct qwen3_4b : qwen3<layers<36>, heads<32>, kv_heads<8>, head_width<128>, width<2560>, mlp<9728>,
                        vocabulary<151936>, context<40960>, tied_head<1>> {};
struct qwen3_8b : qwen3<layers<36>, heads<32>, kv_heads<8>, head_width<128>, width<4096>, mlp<12288>,
                        vocabulary<151936>, context<40960>> {};
struct qwen3_14b : qwen3<layers<40>, heads<40>, kv_heads<8>, head_width<128>, width<5120>, mlp<17408>,
                         vocabulary<151936>, context<40960>> {};
struct qwen3_32b : qwen3<layers<64>, heads<64>, kv_heads<8>, head_width<128>, width<5120>, mlp<25600>,
                         vocabulary<151936>, context<40960>> {};

}  // namespace snug::SNUG_TARGET::models
