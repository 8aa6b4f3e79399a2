#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes tests/reference/rope: tiny Llamas with scaled rotary frequencies, as transformers saves them and as GGUF, and
rope.fixture, the logits that transformers computes with them.

    make_rope_fixtures.py FOLDER_OF_THE_FIXTURES

Needs torch, transformers, safetensors and gguf (from PyPI). Made with torch 2.15.0, transformers 5.24.0 and gguf 0.19.0.

    llama3   head tied to the embedding, Llama 3's scaling
    linear   a head of its own, linear scaling

The GGUF files hold what llama.cpp's converter writes: rows of queries and keys as pairs, Llama 3's scaling as the factors
of rope_freqs.weight, linear scaling as metadata. llama3_with_head.gguf has the table once more as output.weight, as older
converters wrote it. The fixture: tokens (i32), and the logits of each model after every one of them (f64).
"""

import math
import os
import sys

import gguf
import numpy as np
import torch
from transformers import LlamaConfig, LlamaForCausalLM

root = sys.argv[1]
THETA, TOKENS, VOCABULARY = 10000.0, 40, 24
COMMON = dict(vocab_size=VOCABULARY, hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=2,
              num_key_value_heads=1, head_dim=16, max_position_embeddings=64, rms_norm_eps=1e-5, bos_token_id=None,
              eos_token_id=None)
CASES = {
    "llama3": dict(tie_word_embeddings=True,
                   rope_parameters=dict(rope_type="llama3", rope_theta=THETA, factor=8.0, low_freq_factor=1.0,
                                        high_freq_factor=4.0, original_max_position_embeddings=32)),
    "linear": dict(tie_word_embeddings=False,
                   rope_parameters=dict(rope_type="linear", rope_theta=THETA, factor=4.0)),
}
NAMES = {"input_layernorm": "attn_norm", "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k",
         "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output", "post_attention_layernorm": "ffn_norm",
         "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down"}
TOP = {"model.embed_tokens.weight": "token_embd.weight", "model.norm.weight": "output_norm.weight",
       "lm_head.weight": "output.weight"}


def as_pairs(weight, heads):
    return weight.reshape(heads, 2, weight.shape[0] // heads // 2, -1).swapaxes(1, 2).reshape(weight.shape)


def frequency_divisors(scaling, head_width):
    result = []
    for i in range(0, head_width, 2):
        wavelength = 2 * math.pi * scaling["rope_theta"] ** (i / head_width)
        original, factor = scaling["original_max_position_embeddings"], scaling["factor"]
        low, high = scaling["low_freq_factor"], scaling["high_freq_factor"]
        if wavelength < original / high:
            result.append(1.0)
        elif wavelength > original / low:
            result.append(factor)
        else:
            smooth = (original / wavelength - low) / (high - low)
            result.append(1 / ((1 - smooth) / factor + smooth))
    return np.array(result, np.float32)


def write_gguf(path, model, with_head):
    config = model.config
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name("tiny")
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_key_length(config.head_dim)
    writer.add_value_length(config.head_dim)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(THETA)
    writer.add_rope_dimension_count(config.head_dim)
    writer.add_vocab_size(config.vocab_size)
    writer.add_file_type(0)
    scaling = config.rope_parameters
    if scaling["rope_type"] == "linear":
        writer.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
        writer.add_rope_scaling_factor(scaling["factor"])
    else:
        writer.add_tensor("rope_freqs.weight", frequency_divisors(scaling, config.head_dim))
    tensors = {name: tensor.detach().numpy() for name, tensor in model.named_parameters()}
    if with_head:
        tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"]
    for name, tensor in tensors.items():
        if name in TOP:
            writer.add_tensor(TOP[name], tensor)
            continue
        _, _, block, module = name.removesuffix(".weight").split(".", 3)
        heads = {"self_attn.q_proj": config.num_attention_heads, "self_attn.k_proj": config.num_key_value_heads}
        if module in heads:
            tensor = as_pairs(tensor, heads[module])
        writer.add_tensor(f"blk.{block}.{NAMES[module]}.weight", tensor)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


torch.manual_seed(20240723)
tokens = torch.randint(VOCABULARY, (TOKENS,))
arrays = {"tokens": tokens.numpy().astype(np.int32)}
os.makedirs(f"{root}/rope", exist_ok=True)
for name, options in CASES.items():
    model = LlamaForCausalLM(LlamaConfig(**COMMON, **options)).float().eval()
    for parameter_name, parameter in model.named_parameters():
        # Else attention hardly looks at positions.
        parameter.data = 1 + 0.2 * torch.randn_like(parameter) if "norm" in parameter_name else parameter.data * 20
    with torch.no_grad():
        arrays[name] = model(tokens[None]).logits[0].double().numpy()
    model.save_pretrained(f"{root}/rope/{name}")
    os.remove(f"{root}/rope/{name}/generation_config.json")
    write_gguf(f"{root}/rope/{name}.gguf", model, False)
    if options["tie_word_embeddings"]:
        write_gguf(f"{root}/rope/{name}_with_head.gguf", model, True)

with open(f"{root}/rope.fixture", "wb") as file:
    for name, array in arrays.items():
        kind = {"int32": "i32", "float64": "f64"}[str(array.dtype)]
        file.write(f"{name} {kind} {array.size} {' '.join(map(str, array.shape))}\n".encode())
    file.write(b"\n")
    for array in arrays.values():
        file.write(array.tobytes())
