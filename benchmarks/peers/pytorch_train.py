#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""One pretraining step of GPT-2 124M in plain PyTorch on the CPU, the peer that snug is measured against.

The same mathematics as snug's benchmark: the same model with its 50257 tokens unpadded, AdamW on all
parameters with decay on matrices only, clipping by global norm. What PyTorch has to be fast is used: fused
attention, the fused optimizer, autocast for bf16, torch.compile. See README.md.
"""

import argparse
import json
import resource
import statistics
import time

import torch
from torch import nn
from torch.nn import functional

LAYERS, HEADS, WIDTH, VOCABULARY, CONTEXT = 12, 12, 768, 50257, 1024


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.qkv, self.projection = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
        self.up, self.down = nn.Linear(WIDTH, 4 * WIDTH), nn.Linear(4 * WIDTH, WIDTH)

    def forward(self, x):
        sequences, tokens, _ = x.shape
        q, k, v = self.qkv(self.norm1(x)).view(sequences, tokens, 3, HEADS, -1).permute(2, 0, 3, 1, 4)
        attended = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.projection(attended.transpose(1, 2).reshape(sequences, tokens, WIDTH))
        return x + self.down(functional.gelu(self.up(self.norm2(x)), approximate="tanh"))


class GPT2(nn.Module):
    def __init__(self):
        super().__init__()
        self.table, self.positions = nn.Embedding(VOCABULARY, WIDTH), nn.Embedding(CONTEXT, WIDTH)
        self.blocks = nn.ModuleList(Block() for _ in range(LAYERS))
        self.norm = nn.LayerNorm(WIDTH)
        for parameter in self.parameters():
            if parameter.ndim >= 2:
                nn.init.normal_(parameter, std=0.02)

    def forward(self, inputs, targets):
        x = self.table(inputs) + self.positions.weight[: inputs.shape[1]]
        for block in self.blocks:
            x = block(x)
        logits = functional.linear(self.norm(x), self.table.weight)
        return functional.cross_entropy(logits.flatten(0, 1), targets.flatten())


def peak_resident_mib():
    # Linux counts ru_maxrss in KiB.
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def main():
    imported = peak_resident_mib()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32",
                        help="bf16: autocast, fp32 weights")
    parser.add_argument("--compile", action="store_true", help="torch.compile the model")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--batch", type=int, default=4, help="sequences")
    parser.add_argument("--tokens", type=int, default=256, help="tokens per sequence")
    parser.add_argument("--steps", type=int, default=5, help="steps that are timed")
    parser.add_argument("--warmup", type=int, default=2, help="steps before them; the first one compiles")
    options = parser.parse_args()

    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    model = GPT2()
    matrices = [p for p in model.parameters() if p.ndim >= 2]
    vectors = [p for p in model.parameters() if p.ndim < 2]
    optimizer = torch.optim.AdamW(
        [{"params": matrices, "weight_decay": 0.1}, {"params": vectors, "weight_decay": 0.0}],
        lr=6e-4, betas=(0.9, 0.95), eps=1e-8, fused=True)
    forward = torch.compile(model) if options.compile else model
    tokens = torch.randint(VOCABULARY, (options.batch, options.tokens + 1))
    inputs, targets = tokens[:, :-1].contiguous(), tokens[:, 1:].contiguous()

    def step():
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=options.precision == "bf16"):
            loss = forward(inputs, targets)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return loss.item()

    losses, seconds = [], []
    for _ in range(options.warmup + options.steps):
        start = time.perf_counter()
        losses.append(step())
        seconds.append(time.perf_counter() - start)
    timed, tokens_per_step = seconds[options.warmup:], options.batch * options.tokens
    print(json.dumps({
        "peer": f"PyTorch {torch.__version__}",
        "mode": "compiled" if options.compile else "eager",
        "precision": options.precision,
        "batch": [options.batch, options.tokens],
        "threads": options.threads,
        "parameters": sum(p.numel() for p in model.parameters()),
        "tokens_per_second": round(tokens_per_step / statistics.median(timed), 1),
        "tokens_per_second_of_fastest_step": round(tokens_per_step / min(timed), 1),
        "step_seconds": [round(s, 3) for s in timed],
        "first_step_seconds": round(seconds[0], 1),
        "peak_resident_mib": peak_resident_mib(),
        "resident_after_import_mib": imported,
        "loss": [round(losses[0], 4), round(losses[-1], 4)],
    }))


if __name__ == "__main__":
    main()
