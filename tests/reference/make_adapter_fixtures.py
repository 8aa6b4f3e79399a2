#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes the adapter_*.fixture files: fine-tuning by PEFT, for tests/host/adapters/reference.cpp.

    pip install torch transformers peft bitsandbytes && python3 tests/reference/make_adapter_fixtures.py

The tiny models of make_fixtures.py, with the same weights and tokens, as LlamaForCausalLM and GPT2LMHeadModel of
transformers under an adapter of PEFT; 20 steps of the same training (AdamW, clipping), only faster: see
LEARNING_RATE. Base weights, inputs and targets are not repeated here: they are those of gpt2_tiny, llama_tiny and
llama_tiny_tied. Run in fp64 and in fp32, and stored as README.md says; what is called `.lora_A`, `.lora_B` and
`.magnitude` lies as snug keeps it, the modules of one product stacked:

    initial.<weight>            lora_A and magnitude; lora_B starts at 0
    gradient.0.<weight>, gradient.5.<weight>
                                of the first and of the sixth step, before clipping. In the first that of lora_A is 0
    final.<weight>              of everything that is trained

transformers computes the norms and the angles of its Llama in fp32 whatever the model's type. For the fp64 run both
are replaced by the same formulas in fp64. (Its eager attention takes the softmax in fp32 too; PyTorch's fused one does
not.)

QLoRA is LoRA over base weights that bitsandbytes has quantized to NF4 and dequantized again, in blocks of 64, with and
without quantized scales. snug keeps q, k and v, and gate and up, as one matrix each, so they are quantized as one here too.
A block then runs on from one module into the next where a module's size is no multiple of 64; here all are.
"""

import argparse
import os
import pathlib
import platform
import sys
import types
import warnings

os.environ["TORCHDYNAMO_DISABLE"] = "1"
# As in make_quantization_fixtures.py: the backend whose arithmetic is documented, not the compiled one.
sys.modules["bitsandbytes.backends.cpu.ops"] = types.ModuleType("hidden")

import bitsandbytes
import bitsandbytes.functional
import peft
import torch
import transformers

import make_fixtures as plain

RANK, ALPHA = 4, 8
# B starts at 0: at the rate of make_fixtures.py hardly anything would happen in 20 steps.
LEARNING_RATE = 5e-3
GRADIENT_STEPS = (0, 5)


# --- snug's names of transformers' modules --------------------------------------------------------------

# Of a block: snug's layer, and the modules that are its rows.
LLAMA_LINEAR = {
    "qkv": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    "projection": ("self_attn.o_proj",),
    "gate_up": ("mlp.gate_proj", "mlp.up_proj"),
    "down": ("mlp.down_proj",),
}
GPT2_LINEAR = {
    "qkv": ("attn.c_attn",),
    "projection": ("attn.c_proj",),
    "up": ("mlp.c_fc",),
    "down": ("mlp.c_proj",),
}


class Llama:
    linear, block, final_norm = LLAMA_LINEAR, "model.layers.{}", "model.norm"
    norms, embedding = {"norm1": "input_layernorm", "norm2": "post_attention_layernorm"}, "model.embed_tokens"
    transposed = False

    def __init__(self, tied=False):
        self.tied = tied
        self.fixture, self.seed = ("llama_tiny_tied", 3) if tied else ("llama_tiny", 2)

    def draw(self, source):
        return plain.llama_weights(source, tied=self.tied)

    def empty(self):
        return transformers.LlamaForCausalLM(transformers.LlamaConfig(
            vocab_size=plain.VOCABULARY, hidden_size=plain.WIDTH, intermediate_size=plain.LLAMA_MLP,
            num_hidden_layers=plain.LAYERS, num_attention_heads=plain.HEADS, num_key_value_heads=plain.KV_HEADS,
            max_position_embeddings=plain.CONTEXT, rms_norm_eps=plain.EPSILON, rope_theta=plain.THETA,
            tie_word_embeddings=self.tied, attn_implementation="sdpa"))


class GPT2:
    linear, block, final_norm = GPT2_LINEAR, "transformer.h.{}", "transformer.ln_f"
    norms, embedding = {"norm1": "ln_1", "norm2": "ln_2"}, "transformer.wte"
    tied, transposed = True, True
    fixture, seed = "gpt2_tiny", 1

    def draw(self, source):
        return plain.gpt2_weights(source)

    def empty(self):
        return transformers.GPT2LMHeadModel(transformers.GPT2Config(
            vocab_size=plain.VOCABULARY, n_embd=plain.WIDTH, n_layer=plain.LAYERS, n_head=plain.HEADS,
            n_positions=plain.CONTEXT, layer_norm_epsilon=plain.EPSILON, resid_pdrop=0, embd_pdrop=0,
            attn_pdrop=0, attn_implementation="sdpa"))


def modules_of(family):
    """snug's layer -> the modules whose outputs are its own, in order; all blocks."""
    return {f"blocks.{i}.{layer}": [f"{family.block.format(i)}.{part}" for part in parts]
            for i in range(plain.LAYERS) for layer, parts in family.linear.items()}


def state_of(family, weights):
    """transformers' state of the weights in snug's names."""
    state = {f"{family.embedding}.weight": weights["embedding.table"]}
    if "embedding.positions" in weights:
        state["transformer.wpe.weight"] = weights["embedding.positions"]
    state["lm_head.weight"] = weights["embedding.table" if family.tied else "head.weight"]
    norms = {"norm": family.final_norm}
    for i in range(plain.LAYERS):
        norms |= {f"blocks.{i}.{a}": f"{family.block.format(i)}.{b}" for a, b in family.norms.items()}
    for ours, theirs in norms.items():
        state |= {f"{theirs}.{kind}": weights[f"{ours}.{kind}"] for kind in ("weight", "bias")
                  if f"{ours}.{kind}" in weights}
    for layer, modules in modules_of(family).items():
        matrix = weights[f"{layer}.weight"]
        sizes = {3: (48, 24, 24), 2: (plain.LLAMA_MLP,) * 2, 1: (matrix.shape[0],)}[len(modules)]
        for module, rows in zip(modules, matrix.split(sizes)):
            state[f"{module}.weight"] = rows.T.contiguous() if family.transposed else rows
            if f"{layer}.bias" in weights:
                state[f"{module}.bias"] = weights[f"{layer}.bias"]
    return state


def use_fp64(model):
    """Norms and angles of transformers' Llama in fp64."""

    def norm(self, x):
        return self.weight * (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.variance_epsilon))

    def angles(self, x, position_ids):
        frequency = plain.THETA ** (-torch.arange(0, plain.HEAD, 2, dtype=torch.float64) / plain.HEAD)
        angle = position_ids[..., None].double() * frequency
        angle = torch.cat((angle, angle), dim=-1)
        return angle.cos(), angle.sin()

    for module in model.modules():
        replacement = {"LlamaRMSNorm": norm, "LlamaRotaryEmbedding": angles}.get(type(module).__name__)
        if replacement:
            module.forward = types.MethodType(replacement, module)


# --- adapters ------------------------------------------------------------------------------------------


def nf4(weights, family, double_quantized):
    """The weights with every matrix of `family.linear` quantized and dequantized.

    The offset of quantized scales is their mean. PyTorch adds in an order of its own; snug rounds the exact mean, and
    so does this, lest the last bit of every scale differ.
    """
    functional = bitsandbytes.functional
    result = dict(weights)
    for layer in modules_of(family):
        codes, state = functional.quantize_4bit(
            weights[f"{layer}.weight"].contiguous(), blocksize=64, quant_type="nf4", compress_statistics=False)
        if double_quantized:
            offset = state.absmax.double().mean().float()
            scales, nested = functional.quantize_blockwise(state.absmax - offset, blocksize=256)
            state.absmax = functional.dequantize_blockwise(scales, nested) + offset
        result[f"{layer}.weight"] = functional.dequantize_4bit(codes, state)
    return result


def initial_adapter(model, source):
    """Draws A like PEFT does, but from the seeded source; B is 0 already."""
    for name, value in model.named_parameters():
        if "lora_A" in name:
            bound = value.shape[1] ** -0.5
            value.data = torch.rand(value.shape, generator=source.generator) * (2 * bound) - bound


def trained_tensors(model, family, value_of):
    """What trains, in snug's names and stacked as snug keeps it; `value_of` is asked for each parameter."""
    parameters = {name.removeprefix("base_model.model.").replace(".default", ""): value
                  for name, value in model.named_parameters() if value.requires_grad}
    taken, result = set(), {}

    def take(name):
        taken.add(name)
        return value_of(parameters[name])

    for layer, modules in modules_of(family).items():
        for kind, suffix in (("lora_A", "lora_A.weight"), ("lora_B", "lora_B.weight"),
                             ("magnitude", "lora_magnitude_vector.weight")):
            parts = [take(f"{module}.{suffix}") for module in modules if f"{module}.{suffix}" in parameters]
            if parts:
                result[f"{layer}.{kind}"] = torch.cat([part.detach() for part in parts])
    others = {f"{family.embedding}.weight": "embedding.table", f"{family.final_norm}.weight": "norm.weight"}
    for i in range(plain.LAYERS):
        others |= {f"{family.block.format(i)}.{theirs}.weight": f"blocks.{i}.{ours}.weight"
                   for ours, theirs in family.norms.items()}
    for name, ours in others.items():
        if name in parameters:
            result[ours] = take(name).detach()
    assert taken == set(parameters), set(parameters) - taken
    return {name: value.clone() for name, value in result.items()}


def run(case, family, base, config, also_train, dtype):
    model = family.empty()
    missing = model.load_state_dict(state_of(family, base), strict=False)
    assert not missing.unexpected_keys and not missing.missing_keys, missing
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = peft.get_peft_model(model, peft.LoraConfig(
            r=RANK, lora_alpha=ALPHA, lora_dropout=0.0, fan_in_fan_out=family.transposed, **config))
    initial_adapter(model, plain.Source(100 + case))
    for name, value in model.named_parameters():
        if any(word in name for word in also_train):
            value.requires_grad_()
    model = model.to(dtype)
    if dtype == torch.float64:
        use_fp64(model)
        # Lengths of rows from the fp64 weights, rounded so that the fixture holds what the run starts from.
        for module in model.modules():
            if getattr(module, "use_dora", {}).get("default"):
                weight = module.base_layer.weight.T if family.transposed else module.base_layer.weight
                module.lora_magnitude_vector["default"].weight.data = weight.detach().norm(dim=1).float().double()
    source = plain.Source(family.seed)
    family.draw(source)
    inputs, targets = plain.token_batches(source)
    trained = [value for value in model.parameters() if value.requires_grad]
    optimizer = torch.optim.AdamW(
        [{"params": [v for v in trained if v.ndim >= 2], "weight_decay": plain.WEIGHT_DECAY},
         {"params": [v for v in trained if v.ndim < 2], "weight_decay": 0.0}],
        lr=LEARNING_RATE, betas=plain.BETAS, eps=plain.ADAM_EPSILON, foreach=False, fused=False)
    result, losses, norms = {}, [], []
    starts = trained_tensors(model, family, lambda value: value)
    result |= {f"initial.{name}": value for name, value in starts.items()
               if name.endswith(("lora_A", "magnitude"))}
    assert all(not value.any() for name, value in starts.items() if name.endswith("lora_B"))
    for step in range(plain.STEPS):
        logits = model(input_ids=inputs[step], use_cache=False).logits
        loss = plain.mean_loss(logits, targets[step])
        optimizer.zero_grad()
        loss.backward()
        if step == 0:
            result["logits"] = logits.detach().clone()
        if step in GRADIENT_STEPS:
            result |= {f"gradient.{step}.{name}": value
                       for name, value in trained_tensors(model, family, lambda value: value.grad).items()}
        norms.append(torch.nn.utils.clip_grad_norm_(trained, plain.MAX_NORM))
        optimizer.step()
        losses.append(loss.detach())
    result["loss"], result["gradient_norm"] = torch.stack(losses), torch.stack(norms)
    return result | {f"final.{name}": value
                     for name, value in trained_tensors(model, family, lambda value: value).items()}


CASES = {
    "lora_q_v": (Llama(), None, {"target_modules": ["q_proj", "v_proj"]}, ()),
    "lora_all": (Llama(), None, {"target_modules": "all-linear"}, ()),
    "lora_gpt2": (GPT2(), None, {"target_modules": "all-linear"}, ()),
    "rslora_norms": (Llama(), None, {"target_modules": "all-linear", "use_rslora": True}, ("norm",)),
    "lora_embeddings": (Llama(tied=True), None, {"target_modules": ["o_proj", "up_proj"]}, ("embed_tokens",)),
    "dora_all": (Llama(), None, {"target_modules": "all-linear", "use_dora": True}, ()),
    "dora_gpt2": (GPT2(), None, {"target_modules": ["c_attn", "c_proj"], "use_dora": True}, ()),
    "qlora_nf4": (Llama(), "nf4", {"target_modules": "all-linear"}, ()),
    "qlora_double": (Llama(), "double", {"target_modules": "all-linear"}, ()),
    "qdora_nf4": (Llama(), "nf4", {"target_modules": ["q_proj", "v_proj", "down_proj"], "use_dora": True}, ()),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--directory", type=pathlib.Path, default=pathlib.Path(__file__).parent)
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    print(f"PyTorch {torch.__version__}, transformers {transformers.__version__}, PEFT {peft.__version__}, "
          f"bitsandbytes {bitsandbytes.__version__} on {platform.machine()}")
    for case, (name, (family, quantization, config, also_train)) in enumerate(CASES.items()):
        base = family.draw(plain.Source(family.seed))
        if quantization:
            base = nf4(base, family, double_quantized=quantization == "double")
        single = run(case, family, base, config, also_train, torch.float32)
        double = run(case, family, base, config, also_train, torch.float64)
        curves = ("logits", "loss", "gradient_norm")
        tensors = {key: value if key in curves else value.float() for key, value in double.items()}
        tensors |= {f"f32.{key}": single[key] for key in curves}
        path = options.directory / f"adapter_{name}.fixture"
        plain.write(path, tensors)
        print(f"{path.name}: {path.stat().st_size} bytes, loss {single['loss'][0]:.4f} -> "
              f"{single['loss'][-1]:.4f}, gradient norm {single['gradient_norm'].min():.3f} to "
              f"{single['gradient_norm'].max():.3f}")
        for group in (*curves, "gradient.0.", "gradient.5.", "final."):
            keys = [key for key in single if (key == group or group.endswith(".") and key.startswith(group))
                    and double[key].any()]
            worst = max(keys, key=lambda key: plain.largest_difference(single[key], double[key]))
            print(f"  fp32 against fp64: {plain.largest_difference(single[worst], double[worst]):.1e} in {worst}")


if __name__ == "__main__":
    main()
