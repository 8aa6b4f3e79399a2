#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes the *.fixture files that tests/host compares snug with. See README.md for the format and the tensors.

Two-layer models written out in plain PyTorch, so that what snug is compared with can be read here in full:
nothing of torch.nn, no fused attention, and autograd for the gradients. Only torch.optim.AdamW and
clip_grad_norm_ are taken as they are, because their semantics are what the fixtures are to pin.
"""

import argparse
import math
import pathlib
import platform
import sys

import torch

VOCABULARY, CONTEXT, WIDTH, HEADS, KV_HEADS, LAYERS = 97, 16, 48, 4, 2, 2
HEAD = WIDTH // HEADS
GPT2_MLP, LLAMA_MLP = 4 * WIDTH, 128
EPSILON, THETA = 1e-5, 10000.0
STEPS, SEQUENCES = 20, 2
IGNORED, IGNORING_STEP = -1, 7
FINAL_GAIN = 0.25  # small enough that some steps are clipped and some are not
LEARNING_RATE, BETAS, ADAM_EPSILON, WEIGHT_DECAY, MAX_NORM = 1e-3, (0.9, 0.95), 1e-8, 0.1, 1.0


# --- weights and data -----------------------------------------------------------------------------


class Source:
    """Draws of one seeded generator, always in fp32 so that the fp64 run starts from the same weights."""

    def __init__(self, seed):
        self.generator = torch.Generator().manual_seed(seed)

    def normal(self, *shape, std, mean=0.0):
        return mean + std * torch.randn(*shape, generator=self.generator)

    def linear(self, outputs, inputs):
        return self.normal(outputs, inputs, std=1 / math.sqrt(inputs))

    # Gains and biases are moved off their usual 1 and 0, else a swapped or forgotten one could not be seen.
    def gain(self, mean=1.0):
        return self.normal(WIDTH, mean=mean, std=0.1 * mean)

    def bias(self, size):
        return self.normal(size, std=0.05)


def gpt2_weights(source):
    weights = {
        "embedding.table": source.normal(VOCABULARY, WIDTH, std=0.5),
        "embedding.positions": source.normal(CONTEXT, WIDTH, std=0.1),
    }
    for i in range(LAYERS):
        block = {
            "norm1.weight": source.gain(),
            "norm1.bias": source.bias(WIDTH),
            "qkv.weight": source.linear(3 * WIDTH, WIDTH),
            "qkv.bias": source.bias(3 * WIDTH),
            "projection.weight": source.linear(WIDTH, WIDTH),
            "projection.bias": source.bias(WIDTH),
            "norm2.weight": source.gain(),
            "norm2.bias": source.bias(WIDTH),
            "up.weight": source.linear(GPT2_MLP, WIDTH),
            "up.bias": source.bias(GPT2_MLP),
            "down.weight": source.linear(WIDTH, GPT2_MLP),
            "down.bias": source.bias(WIDTH),
        }
        weights |= {f"blocks.{i}.{name}": value for name, value in block.items()}
    return weights | {"norm.weight": source.gain(FINAL_GAIN), "norm.bias": source.bias(WIDTH)}


def llama_weights(source, tied):
    weights = {"embedding.table": source.normal(VOCABULARY, WIDTH, std=0.5)}
    for i in range(LAYERS):
        block = {
            "norm1.weight": source.gain(),
            "qkv.weight": source.linear((HEADS + 2 * KV_HEADS) * HEAD, WIDTH),
            "projection.weight": source.linear(WIDTH, WIDTH),
            "norm2.weight": source.gain(),
            "gate_up.weight": source.linear(2 * LLAMA_MLP, WIDTH),
            "down.weight": source.linear(WIDTH, LLAMA_MLP),
        }
        weights |= {f"blocks.{i}.{name}": value for name, value in block.items()}
    weights["norm.weight"] = source.gain(FINAL_GAIN)
    if not tied:
        weights["head.weight"] = source.linear(VOCABULARY, WIDTH)
    return weights


def token_batches(source):
    """Sequences that can be learnt: each token follows from the one before, but for one draw in four."""
    shape = (STEPS, SEQUENCES, CONTEXT + 1)
    noise = torch.randint(VOCABULARY, shape, generator=source.generator)
    surprise = torch.rand(shape, generator=source.generator) < 0.25
    tokens = noise.clone()
    for t in range(1, CONTEXT + 1):
        followed = (5 * tokens[..., t - 1] + 3) % VOCABULARY
        tokens[..., t] = torch.where(surprise[..., t], noise[..., t], followed)
    inputs, targets = tokens[..., :-1].clone(), tokens[..., 1:].clone()
    # Unequal between the two sequences: a mean of their means would not be the mean over counted tokens.
    targets[IGNORING_STEP, 0, :5] = IGNORED
    targets[IGNORING_STEP, 1, 3:15] = IGNORED
    return inputs, targets


# --- the models -----------------------------------------------------------------------------------


def layer_norm(x, weight, bias):
    centred = x - x.mean(-1, keepdim=True)
    variance = (centred * centred).mean(-1, keepdim=True)
    return centred * torch.rsqrt(variance + EPSILON) * weight + bias


def rms_norm(x, weight):
    return x * torch.rsqrt((x * x).mean(-1, keepdim=True) + EPSILON) * weight


def gelu_tanh(x):
    return 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def silu(x):
    return x * torch.sigmoid(x)


def rotate(x):
    """RoPE in the half-split convention: element i of a head is paired with element i + HEAD / 2."""
    frequency = THETA ** (-torch.arange(0, HEAD, 2, dtype=torch.float64) / HEAD)
    angle = torch.arange(x.shape[-2], dtype=torch.float64)[:, None] * frequency
    cosine, sine = angle.cos().to(x.dtype), angle.sin().to(x.dtype)
    first, second = x.chunk(2, dim=-1)
    return torch.cat((first * cosine - second * sine, second * cosine + first * sine), dim=-1)


def attention(q, k, v):
    """[sequence, head, position, HEAD] each; query head h reads key and value head h / (HEADS / kv heads)."""
    group = q.shape[1] // k.shape[1]
    k, v = k.repeat_interleave(group, dim=1), v.repeat_interleave(group, dim=1)
    scores = q @ k.transpose(-1, -2) / math.sqrt(HEAD)
    future = torch.ones(q.shape[-2], q.shape[-2], dtype=torch.bool).triu(1)
    return torch.softmax(scores.masked_fill(future, -math.inf), dim=-1) @ v


def heads_of(x):
    return x.unflatten(-1, (-1, HEAD)).transpose(1, 2)


def merged(x):
    return x.transpose(1, 2).flatten(2)


def gpt2(weights, inputs):
    x = weights["embedding.table"][inputs] + weights["embedding.positions"][: inputs.shape[-1]]
    for i in range(LAYERS):
        w = {n.removeprefix(f"blocks.{i}."): v for n, v in weights.items() if n.startswith(f"blocks.{i}.")}
        normed = layer_norm(x, w["norm1.weight"], w["norm1.bias"])
        q, k, v = (heads_of(part) for part in (normed @ w["qkv.weight"].T + w["qkv.bias"]).chunk(3, dim=-1))
        x = x + merged(attention(q, k, v)) @ w["projection.weight"].T + w["projection.bias"]
        normed = layer_norm(x, w["norm2.weight"], w["norm2.bias"])
        x = x + gelu_tanh(normed @ w["up.weight"].T + w["up.bias"]) @ w["down.weight"].T + w["down.bias"]
    return layer_norm(x, weights["norm.weight"], weights["norm.bias"]) @ weights["embedding.table"].T


def llama(weights, inputs):
    x = weights["embedding.table"][inputs]
    for i in range(LAYERS):
        w = {n.removeprefix(f"blocks.{i}."): v for n, v in weights.items() if n.startswith(f"blocks.{i}.")}
        qkv = rms_norm(x, w["norm1.weight"]) @ w["qkv.weight"].T
        parts = qkv.split((HEADS * HEAD, KV_HEADS * HEAD, KV_HEADS * HEAD), dim=-1)
        q, k, v = (heads_of(part) for part in parts)
        x = x + merged(attention(rotate(q), rotate(k), v)) @ w["projection.weight"].T
        gate, up = (rms_norm(x, w["norm2.weight"]) @ w["gate_up.weight"].T).chunk(2, dim=-1)
        x = x + (silu(gate) * up) @ w["down.weight"].T
    head = weights.get("head.weight", weights["embedding.table"])
    return rms_norm(x, weights["norm.weight"]) @ head.T


def mean_loss(logits, targets):
    """Mean over the counted tokens of the whole batch."""
    counted = targets != IGNORED
    chosen = logits.gather(-1, targets.clamp(min=0)[..., None])[..., 0]
    return ((torch.logsumexp(logits, dim=-1) - chosen) * counted).sum() / counted.sum()


# --- the run --------------------------------------------------------------------------------------


def run(model, initial, inputs, targets, dtype):
    """Everything the fixture holds of one run, as a dict of tensors in `dtype`."""
    weights = {name: value.to(dtype, copy=True).requires_grad_() for name, value in initial.items()}
    matrices = [value for value in weights.values() if value.ndim >= 2]
    vectors = [value for value in weights.values() if value.ndim < 2]
    optimizer = torch.optim.AdamW(
        [{"params": matrices, "weight_decay": WEIGHT_DECAY}, {"params": vectors, "weight_decay": 0.0}],
        lr=LEARNING_RATE, betas=BETAS, eps=ADAM_EPSILON, foreach=False, fused=False)
    result, losses, norms = {}, [], []
    for step in range(STEPS):
        logits = model(weights, inputs[step])
        loss = mean_loss(logits, targets[step])
        optimizer.zero_grad()
        loss.backward()
        if step == 0:
            result["logits"] = logits.detach().clone()
            result |= {f"gradient.{name}": value.grad.clone() for name, value in weights.items()}
        norms.append(torch.nn.utils.clip_grad_norm_(weights.values(), MAX_NORM))
        optimizer.step()
        losses.append(loss.detach())
    result["loss"], result["gradient_norm"] = torch.stack(losses), torch.stack(norms)
    return result | {f"final.{name}": value.detach() for name, value in weights.items()}


DTYPES = {torch.float32: "f32", torch.float64: "f64", torch.int32: "i32"}


def write(path, tensors):
    header = "".join(
        " ".join([name, DTYPES[value.dtype], str(value.numel()), *map(str, value.shape)]) + "\n"
        for name, value in tensors.items())
    with open(path, "wb") as file:
        file.write(header.encode("ascii") + b"\n")
        for value in tensors.values():
            file.write(value.contiguous().numpy().tobytes())


def largest_difference(a, b):
    """Relative to the largest entry of b, the measure the tests use."""
    return ((a.double() - b.double()).abs().max() / b.double().abs().max()).item()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--directory", type=pathlib.Path, default=pathlib.Path(__file__).parent)
    options = parser.parse_args()
    if sys.byteorder != "little":
        parser.error("the fixtures are little-endian; make them on a little-endian machine")
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    print(f"PyTorch {torch.__version__} on {platform.machine()}")

    cases = {
        "gpt2_tiny": (gpt2, gpt2_weights, 1),
        "llama_tiny": (llama, lambda source: llama_weights(source, tied=False), 2),
        "llama_tiny_tied": (llama, lambda source: llama_weights(source, tied=True), 3),
    }
    for name, (model, make_weights, seed) in cases.items():
        source = Source(seed)
        initial = make_weights(source)
        inputs, targets = token_batches(source)
        single = run(model, initial, inputs, targets, torch.float32)
        double = run(model, initial, inputs, targets, torch.float64)

        tensors = {"inputs": inputs.int(), "targets": targets.int()}
        tensors |= {f"initial.{key}": value for key, value in initial.items()}
        curves = ("logits", "loss", "gradient_norm")
        tensors |= {key: value if key in curves else value.float() for key, value in double.items()}
        tensors |= {f"f32.{key}": single[key] for key in curves}
        path = options.directory / f"{name}.fixture"
        write(path, tensors)

        count = sum(value.numel() for value in initial.values())
        print(f"{path.name}: {path.stat().st_size} bytes, {count} parameters, "
              f"loss {single['loss'][0]:.4f} -> {single['loss'][-1]:.4f}, "
              f"gradient norm {single['gradient_norm'].min():.3f} to {single['gradient_norm'].max():.3f}")
        for group in (*curves, "gradient.", "final."):
            keys = [key for key in single if key == group or group.endswith(".") and key.startswith(group)]
            worst = max(keys, key=lambda key: largest_difference(single[key], double[key]))
            print(f"  fp32 against fp64: {largest_difference(single[worst], double[worst]):.1e} in {worst}")


if __name__ == "__main__":
    main()
