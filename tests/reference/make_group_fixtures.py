#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes groups.fixture: five steps of torch.optim.AdamW with a group for every tensor, on given gradients.

The tensors are those of a GPT-2 of three blocks. The numbers that tests/host/optimizers/groups.cpp gives by patterns
are written out here as a function of a name.
"""

import pathlib

import torch
from make_fixtures import write

VOCABULARY, CONTEXT, WIDTH, LAYERS, STEPS = 13, 8, 8, 3, 5
LEARNING_RATE, BETAS, EPSILON, WEIGHT_DECAY = 1e-2, (0.9, 0.95), 1e-8, 0.1


def shapes():
    result = {"embedding.table": (VOCABULARY, WIDTH), "embedding.positions": (CONTEXT, WIDTH)}
    block = {
        "norm1.weight": (WIDTH,), "norm1.bias": (WIDTH,), "qkv.weight": (3 * WIDTH, WIDTH), "qkv.bias": (3 * WIDTH,),
        "projection.weight": (WIDTH, WIDTH), "projection.bias": (WIDTH,), "norm2.weight": (WIDTH,),
        "norm2.bias": (WIDTH,), "up.weight": (4 * WIDTH, WIDTH), "up.bias": (4 * WIDTH,),
        "down.weight": (WIDTH, 4 * WIDTH), "down.bias": (WIDTH,),
    }
    for i in range(LAYERS):
        result |= {f"blocks.{i}.{name}": shape for name, shape in block.items()}
    return result | {"norm.weight": (WIDTH,), "norm.bias": (WIDTH,)}


def numbers(name, value):
    """Layer-wise rates; the embedding and biases do not decay, norms decay a little; the up projections are faster."""
    rate, decay = 1.0, WEIGHT_DECAY if value.ndim >= 2 else 0.0
    if name.startswith("blocks."):
        rate = (0.25, 0.5, 1.0)[int(name.split(".")[1])]
    if name.startswith("embedding."):
        rate, decay = 0.125, 0.0
    if "norm" in name:
        decay = 0.05
    if name.endswith(".bias"):
        decay = 0.0
    if name.endswith("up.weight"):
        rate = 3.0
    return {"lr": LEARNING_RATE * rate, "weight_decay": decay}


def main():
    generator = torch.Generator().manual_seed(5)
    weights = {name: 0.5 * torch.randn(shape, generator=generator) for name, shape in shapes().items()}
    for value in weights.values():
        value.requires_grad_()
    tensors = {f"initial.{name}": value.detach().clone() for name, value in weights.items()}
    optimizer = torch.optim.AdamW(
        [{"params": [value], **numbers(name, value)} for name, value in weights.items()],
        betas=BETAS, eps=EPSILON, foreach=False, fused=False)
    for step in range(STEPS):
        for name, value in weights.items():
            value.grad = 0.1 * torch.randn(value.shape, generator=generator)
            tensors[f"gradient.{step}.{name}"] = value.grad.clone()
        optimizer.step()
    tensors |= {f"final.{name}": value.detach() for name, value in weights.items()}
    path = pathlib.Path(__file__).parent / "groups.fixture"
    write(path, tensors)
    print(f"PyTorch {torch.__version__}: {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
