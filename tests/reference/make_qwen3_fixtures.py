#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes tests/reference/qwen3: tiny Qwen3s as transformers saves them and as GGUF, adapters that PEFT saves for one of them, and
qwen3.fixture, what transformers and PEFT compute with them.

    make_qwen3_fixtures.py make FOLDER_OF_THE_FIXTURES
    make_qwen3_fixtures.py check FOLDER

Needs torch, transformers, peft, safetensors and gguf (from PyPI). Made with torch 2.15.0, transformers 5.24.0, peft 0.21.2 and
gguf 0.19.0.

    tied, tied.gguf            width 16, 4 heads of 8 and 2 for keys and values, head tied to the embedding
    untied, untied.gguf        width 20, 6 heads of 6 and 2 for keys and values, a head of its own
    lora, dora, lora_norms     adapters of `tied`, rank 4, alpha 8: of all linear layers; of q, v and down; of q and k, with norms

The GGUF files hold what llama.cpp's converter writes. The fixture, everything computed in fp32:

    inputs, targets (i32 [5, 2, 24])    of five steps; a target of -1 is not counted
    MODEL.logits, ADAPTER.logits (f64)  after every token of the first sequence
    tied.loss, tied.gradient_norm       of five steps of SGD, learning rate 0.05, momentum 0.9, no decay, gradients clipped to
                                        norm 1 as in README.md; the norm is that before clipping
    tied.gradient.STEP.TENSOR (f32)     before clipping, by snug's names

`check` opens what `SNUG_QWEN3_TO=FOLDER host.models.qwen3` (and `qwen3_policies`) has written there, models in transformers and adapters in PEFT, and
compares logits with the fixture's beside this script.
"""

import os
import shutil
import sys

import gguf
import numpy as np
import peft
import torch
from transformers import AutoModelForCausalLM, Qwen3Config, Qwen3ForCausalLM

STEPS, SEQUENCES, TOKENS, VOCABULARY = 5, 2, 24, 26
COMMON = dict(vocab_size=VOCABULARY, num_hidden_layers=2, num_key_value_heads=2, max_position_embeddings=64, rms_norm_eps=1e-6,
              rope_parameters=dict(rope_type="default", rope_theta=1e6), attn_implementation="eager")
MODELS = {
    "tied": dict(hidden_size=16, intermediate_size=24, num_attention_heads=4, head_dim=8, tie_word_embeddings=True),
    "untied": dict(hidden_size=20, intermediate_size=28, num_attention_heads=6, head_dim=6, tie_word_embeddings=False),
}
ADAPTERS = {
    "lora": dict(target_modules="all-linear"),
    "dora": dict(target_modules=["q_proj", "v_proj", "down_proj"], use_dora=True),
    "lora_norms": dict(target_modules=["q_proj", "k_proj"],
                       modules_to_save=["input_layernorm", "post_attention_layernorm", "q_norm", "k_norm", "model.norm"]),
}
PARTS = {"qkv": [f"self_attn.{part}_proj" for part in "qkv"], "gate_up": ["mlp.gate_proj", "mlp.up_proj"],
         "head_norm.query": ["self_attn.q_norm"], "head_norm.key": ["self_attn.k_norm"], "norm1": ["input_layernorm"],
         "norm2": ["post_attention_layernorm"], "projection": ["self_attn.o_proj"], "down": ["mlp.down_proj"]}


def by_names_of_snug(tensors, blocks):
    result = {"embedding.table": tensors["model.embed_tokens.weight"], "norm.weight": tensors["model.norm.weight"]}
    for block in range(blocks):
        for name, parts in PARTS.items():
            of_snug = name if name.startswith("head_norm") else f"{name}.weight"
            result[f"blocks.{block}.{of_snug}"] = torch.cat([tensors[f"model.layers.{block}.{part}.weight"] for part in parts])
    return result


def drawn(options):
    model = Qwen3ForCausalLM(Qwen3Config(**COMMON, **options)).float().eval()
    for name, parameter in model.named_parameters():
        # Else attention hardly looks at anything, and norms are 1.
        parameter.data = 1 + 0.3 * torch.randn_like(parameter) if "norm" in name else parameter.data * 20
    return model


def logits_of(model, tokens):
    with torch.no_grad():
        return model(tokens[None], use_cache=False).logits[0].double().numpy()


def train(model, inputs, targets):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    arrays, losses, norms = {}, [], []
    for step in range(STEPS):
        optimizer.zero_grad()
        logits = model(inputs[step], use_cache=False).logits
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets[step].flatten(), ignore_index=-1)
        loss.backward()
        gradients = {name: parameter.grad.clone() for name, parameter in model.named_parameters()}
        for name, gradient in by_names_of_snug(gradients, model.config.num_hidden_layers).items():
            arrays[f"tied.gradient.{step}.{name}"] = gradient.numpy()
        losses.append(loss.item())
        norms.append(torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0).item())
        optimizer.step()
    return {"tied.loss": np.array(losses), "tied.gradient_norm": np.array(norms)} | arrays


def write_gguf(path, model):
    config = model.config
    writer = gguf.GGUFWriter(path, "qwen3")
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
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.QWEN3, config.num_hidden_layers)
    for name, parameter in model.named_parameters():
        writer.add_tensor(names.get_name(name, try_suffixes=(".weight",)), parameter.detach().numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def write_fixture(path, arrays):
    with open(path, "wb") as file:
        for name, array in arrays.items():
            kind = {"int32": "i32", "float64": "f64", "float32": "f32"}[str(array.dtype)]
            file.write(f"{name} {kind} {array.size} {' '.join(map(str, array.shape))}\n".encode())
        file.write(b"\n")
        for array in arrays.values():
            file.write(np.ascontiguousarray(array).tobytes())


def read_fixture(path, wanted):
    with open(path, "rb") as file:
        header, data = file.read().split(b"\n\n", 1)
    at = 0
    for line in header.decode().splitlines():
        name, kind, count, *shape = line.split()
        size = int(count) * int(kind[1:]) // 8
        if name == wanted:
            return np.frombuffer(data[at:at + size], {"i32": "<i4", "f32": "<f4", "f64": "<f8"}[kind]).reshape([*map(int, shape)])
        at += size
    raise KeyError(wanted)


def opened(folder):
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()


def make(root):
    torch.manual_seed(20250514)
    inputs = torch.randint(VOCABULARY, (STEPS, SEQUENCES, TOKENS))
    targets = torch.randint(VOCABULARY, (STEPS, SEQUENCES, TOKENS))
    targets[3, 0, 5:17] = -1
    arrays = {"inputs": inputs.numpy().astype(np.int32), "targets": targets.numpy().astype(np.int32)}
    shutil.rmtree(f"{root}/qwen3", ignore_errors=True)
    for name, options in MODELS.items():
        folder = f"{root}/qwen3/{name}"
        model = drawn(options)
        arrays[f"{name}.logits"] = logits_of(model, inputs[0, 0])
        model.save_pretrained(folder)
        os.remove(f"{folder}/generation_config.json")
        write_gguf(f"{folder}.gguf", model)
    for name, options in ADAPTERS.items():
        model = peft.get_peft_model(opened(f"{root}/qwen3/tied"),
                                    peft.LoraConfig(r=4, lora_alpha=8, lora_dropout=0.0, task_type="CAUSAL_LM", **options))
        for parameter in model.parameters():
            if parameter.requires_grad:
                noise = torch.randn_like(parameter)
                parameter.data = parameter.data * (1 + 0.2 * noise) if parameter.ndim == 1 else 0.2 * noise
        model.peft_config["default"].base_model_name_or_path = ""
        model.eval().save_pretrained(f"{root}/qwen3/{name}")
        os.remove(f"{root}/qwen3/{name}/README.md")
        arrays[f"{name}.logits"] = logits_of(model, inputs[0, 0])
        apart = np.abs(arrays[f"{name}.logits"] - arrays["tied.logits"]).max() / np.abs(arrays["tied.logits"]).max()
        print(f"{name}: logits moved by {apart:.2f} of their largest")
    arrays |= train(opened(f"{root}/qwen3/tied").train(), inputs, targets)
    print("losses:", arrays["tied.loss"], "norms:", arrays["tied.gradient_norm"])
    write_fixture(f"{root}/qwen3/qwen3.fixture", arrays)


def check(folder):
    here = f"{os.path.dirname(os.path.abspath(__file__))}/qwen3"
    tokens = torch.tensor(read_fixture(f"{here}/qwen3.fixture", "inputs")[0, 0], dtype=torch.long)
    worst, seen = 0.0, 0
    for name in [*MODELS, *ADAPTERS]:
        models = {"model": lambda: opened(f"{folder}/{name}/model"),
                  "adapter": lambda: peft.PeftModel.from_pretrained(opened(f"{here}/tied"), f"{folder}/{name}/adapter").eval()}
        expected = read_fixture(f"{here}/qwen3.fixture", f"{name}.logits")
        for kind, model in models.items():
            if os.path.isdir(f"{folder}/{name}/{kind}"):
                apart = np.abs(logits_of(model(), tokens) - expected).max() / np.abs(expected).max()
                print(f"{name}, {kind}: {apart:.1e}")
                worst, seen = max(worst, apart), seen + 1
    if worst > 1e-5 or seen == 0:
        raise SystemExit(f"{seen} models and adapters; logits differ by {worst:.1e} of their largest")


torch.set_num_threads(1)
{"make": make, "check": check}[sys.argv[1]](sys.argv[2])
