#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes tests/reference/FAMILY of a family of models: tiny ones as transformers saves them and as GGUF, adapters that PEFT saves for
one of them, and FAMILY.fixture, what transformers and PEFT compute with them.

    make_family_fixtures.py make FAMILY FOLDER_OF_THE_FIXTURES
    make_family_fixtures.py check FAMILY FOLDER

Needs torch, transformers, peft, safetensors and gguf (from PyPI). Made with torch 2.15.0, transformers 5.24.0, peft 0.21.2 and
gguf 0.19.0. FAMILIES below says what the models are.

    tied, untied               folders of transformers: the head tied to the embedding, and a head of its own
    tied.gguf, untied.gguf     the same models, where llama.cpp can run them; what its converter writes
    lora, dora, lora_norms     adapters of `tied`, rank 4, alpha 8: of all linear layers; of q, v and down; of q and k, with norms

The fixture, everything computed in fp32:

    inputs, targets (i32 [5, 2, 24])    of five steps; a target of -1 is not counted
    MODEL.logits, ADAPTER.logits (f64)  after every token of the first sequence
    tied.loss, tied.gradient_norm       of five steps of SGD, learning rate 0.05, momentum 0.9, no decay, gradients clipped to
                                        norm 1 as in README.md; the norm is that before clipping
    tied.gradient.STEP.TENSOR (f32)     before clipping, by snug's names

`check` opens what `SNUG_MODELS_TO=FOLDER host.models.FAMILY` (and `FAMILY_policies`) has written there, models in transformers and
adapters in PEFT, and compares logits with the fixture's beside this script.
"""

import os
import shutil
import sys

import gguf
import numpy as np
import peft
import torch
import transformers
from transformers import AutoModelForCausalLM

STEPS, SEQUENCES, TOKENS, VOCABULARY = 5, 2, 24, 26
COMMON = dict(vocab_size=VOCABULARY, num_hidden_layers=2, num_key_value_heads=2, max_position_embeddings=64, rms_norm_eps=1e-6,
              rope_parameters=dict(rope_type="default", rope_theta=1e6), attn_implementation="eager", pad_token_id=None)
LAYERS_OF_LLAMA = {"qkv": [f"self_attn.{part}_proj" for part in "qkv"], "gate_up": ["mlp.gate_proj", "mlp.up_proj"],
                   "norm1": ["input_layernorm"], "norm2": ["post_attention_layernorm"], "projection": ["self_attn.o_proj"],
                   "down": ["mlp.down_proj"]}
NORMS_OF_LLAMA = ["input_layernorm", "post_attention_layernorm", "model.norm"]


class Qwen3:
    classes = "Qwen3"
    architecture = gguf.MODEL_ARCH.QWEN3
    models = {
        "tied": dict(hidden_size=16, intermediate_size=24, num_attention_heads=4, head_dim=8, tie_word_embeddings=True),
        "untied": dict(hidden_size=20, intermediate_size=28, num_attention_heads=6, head_dim=6, tie_word_embeddings=False),
    }
    layers = {**{name: LAYERS_OF_LLAMA[name] for name in ("qkv", "gate_up")}, "head_norm.query": ["self_attn.q_norm"],
              "head_norm.key": ["self_attn.k_norm"]} | LAYERS_OF_LLAMA
    norms = ["input_layernorm", "post_attention_layernorm", "q_norm", "k_norm", "model.norm"]
    in_gguf = ["tied", "untied"]
    scale = 20


class SmolLM3:
    """Every second of three blocks, and every fourth of four as in llama.cpp, is not rotated."""

    classes = "SmolLM3"
    architecture = gguf.MODEL_ARCH.SMOLLM3
    models = {
        "tied": dict(num_hidden_layers=3, hidden_size=16, intermediate_size=20, num_attention_heads=4, no_rope_layer_interval=2,
                     tie_word_embeddings=True),
        "untied": dict(num_hidden_layers=4, hidden_size=12, intermediate_size=20, num_attention_heads=2, tie_word_embeddings=False),
    }
    layers = LAYERS_OF_LLAMA
    norms = NORMS_OF_LLAMA
    in_gguf = ["untied"]
    has_rotary_pairs = True
    scale = 10


class Mistral:
    """A window of 8 tokens. llama.cpp has these models as Llamas, without the window."""

    classes = "Mistral"
    architecture = gguf.MODEL_ARCH.LLAMA
    models = {
        "tied": dict(hidden_size=16, intermediate_size=20, num_attention_heads=4, head_dim=6, sliding_window=8,
                     tie_word_embeddings=True),
        "untied": dict(hidden_size=12, intermediate_size=20, num_attention_heads=2, sliding_window=None, tie_word_embeddings=False),
    }
    layers = LAYERS_OF_LLAMA
    norms = NORMS_OF_LLAMA
    in_gguf = ["tied", "untied"]
    has_rotary_pairs = True
    scale = 10


FAMILIES = {"qwen3": Qwen3, "smollm3": SmolLM3, "mistral": Mistral}
ADAPTERS = {
    "lora": lambda family: dict(target_modules="all-linear"),
    "dora": lambda family: dict(target_modules=["q_proj", "v_proj", "down_proj"], use_dora=True),
    "lora_norms": lambda family: dict(target_modules=["q_proj", "k_proj"], modules_to_save=family.norms),
}


def by_names_of_snug(family, tensors, blocks):
    result = {"embedding.table": tensors["model.embed_tokens.weight"], "norm.weight": tensors["model.norm.weight"]}
    for block in range(blocks):
        for name, parts in family.layers.items():
            of_snug = name if name.startswith("head_norm") else f"{name}.weight"
            result[f"blocks.{block}.{of_snug}"] = torch.cat([tensors[f"model.layers.{block}.{part}.weight"] for part in parts])
    return result


def drawn(family, options):
    config = getattr(transformers, f"{family.classes}Config")(**{**COMMON, **options})
    model = getattr(transformers, f"{family.classes}ForCausalLM")(config).float().eval()
    for name, parameter in model.named_parameters():
        # Else attention hardly looks at anything, and norms are 1.
        parameter.data = 1 + 0.3 * torch.randn_like(parameter) if "norm" in name else parameter.data * family.scale
    return model


def logits_of(model, tokens):
    with torch.no_grad():
        return model(tokens[None], use_cache=False).logits[0].double().numpy()


def train(family, model, inputs, targets):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    arrays, losses, norms = {}, [], []
    for step in range(STEPS):
        optimizer.zero_grad()
        logits = model(inputs[step], use_cache=False).logits
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets[step].flatten(), ignore_index=-1)
        loss.backward()
        gradients = {name: parameter.grad.clone() for name, parameter in model.named_parameters()}
        for name, gradient in by_names_of_snug(family, gradients, model.config.num_hidden_layers).items():
            arrays[f"tied.gradient.{step}.{name}"] = gradient.numpy()
        losses.append(loss.item())
        norms.append(torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0).item())
        optimizer.step()
    return {"tied.loss": np.array(losses), "tied.gradient_norm": np.array(norms)} | arrays


def in_rotary_pairs(weight, heads):
    """The rows of each head as llama.cpp's converter orders them for architectures that turn neighbours."""
    rows, columns = weight.shape
    return weight.reshape(heads, 2, rows // heads // 2, columns).swapaxes(1, 2).reshape(rows, columns)


def write_gguf(path, family, model):
    config = model.config
    writer = gguf.GGUFWriter(path, gguf.MODEL_ARCH_NAMES[family.architecture])
    writer.add_name("tiny")
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    head_width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    writer.add_key_length(head_width)
    writer.add_value_length(head_width)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)
    names = gguf.get_tensor_name_map(family.architecture, config.num_hidden_layers)
    heads = {"q_proj": config.num_attention_heads, "k_proj": config.num_key_value_heads}
    for name, parameter in model.named_parameters():
        weight = parameter.detach().numpy()
        if getattr(family, "has_rotary_pairs", False) and name.split(".")[-2] in heads:
            weight = in_rotary_pairs(weight, heads[name.split(".")[-2]])
        writer.add_tensor(names.get_name(name, try_suffixes=(".weight",)), weight)
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


def make(name_of_family, root):
    family = FAMILIES[name_of_family]
    here = f"{root}/{name_of_family}"
    torch.manual_seed(20250514)
    inputs = torch.randint(VOCABULARY, (STEPS, SEQUENCES, TOKENS))
    targets = torch.randint(VOCABULARY, (STEPS, SEQUENCES, TOKENS))
    targets[3, 0, 5:17] = -1
    arrays = {"inputs": inputs.numpy().astype(np.int32), "targets": targets.numpy().astype(np.int32)}
    shutil.rmtree(here, ignore_errors=True)
    for name, options in family.models.items():
        model = drawn(family, options)
        arrays[f"{name}.logits"] = logits_of(model, inputs[0, 0])
        model.save_pretrained(f"{here}/{name}")
        os.remove(f"{here}/{name}/generation_config.json")
        if name in family.in_gguf:
            write_gguf(f"{here}/{name}.gguf", family, model)
    for name, options in ADAPTERS.items():
        model = peft.get_peft_model(opened(f"{here}/tied"),
                                    peft.LoraConfig(r=4, lora_alpha=8, lora_dropout=0.0, task_type="CAUSAL_LM", **options(family)))
        for parameter in model.parameters():
            if parameter.requires_grad:
                noise = torch.randn_like(parameter)
                parameter.data = parameter.data * (1 + 0.2 * noise) if parameter.ndim == 1 else 0.2 * noise
        model.peft_config["default"].base_model_name_or_path = ""
        model.eval().save_pretrained(f"{here}/{name}")
        os.remove(f"{here}/{name}/README.md")
        arrays[f"{name}.logits"] = logits_of(model, inputs[0, 0])
        apart = np.abs(arrays[f"{name}.logits"] - arrays["tied.logits"]).max() / np.abs(arrays["tied.logits"]).max()
        print(f"{name}: logits moved by {apart:.2f} of their largest")
    arrays |= train(family, opened(f"{here}/tied").train(), inputs, targets)
    print("losses:", arrays["tied.loss"], "norms:", arrays["tied.gradient_norm"])
    write_fixture(f"{here}/{name_of_family}.fixture", arrays)


def check(name_of_family, folder):
    here = f"{os.path.dirname(os.path.abspath(__file__))}/{name_of_family}"
    fixture = f"{here}/{name_of_family}.fixture"
    tokens = torch.tensor(read_fixture(fixture, "inputs")[0, 0], dtype=torch.long)
    worst, seen = 0.0, 0
    for name in [*FAMILIES[name_of_family].models, *ADAPTERS]:
        models = {"model": lambda: opened(f"{folder}/{name}/model"),
                  "adapter": lambda: peft.PeftModel.from_pretrained(opened(f"{here}/tied"), f"{folder}/{name}/adapter").eval()}
        expected = read_fixture(fixture, f"{name}.logits")
        for kind, model in models.items():
            if os.path.isdir(f"{folder}/{name}/{kind}"):
                apart = np.abs(logits_of(model(), tokens) - expected).max() / np.abs(expected).max()
                print(f"{name}, {kind}: {apart:.1e}")
                worst, seen = max(worst, apart), seen + 1
    if worst > 1e-5 or seen == 0:
        raise SystemExit(f"{seen} models and adapters; logits differ by {worst:.1e} of their largest")


torch.set_num_threads(1)
{"make": make, "check": check}[sys.argv[1]](*sys.argv[2:])
