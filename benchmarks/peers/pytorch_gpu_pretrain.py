#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Pretraining of GPT-2 124M or 1558M in plain PyTorch on one GPU, the peer of benchmarks/gpu/pretrain_*.cu.

The same mathematics, batch and tokens: 50257 tokens unpadded, tied head, AdamW with decay on matrices only and fp32
states, clipping by global norm, random tokens. What PyTorch has to be fast is used: torch.compile, fused attention, the
fused optimizer, and the loss in the compiled graph. See benchmarks/gpu/README.md.
"""

import argparse

import torch
from torch import nn
from torch.nn import functional

from gpu_timing import report

MODELS = {  # layers, heads, width, vocabulary, sequences of a micro-batch
    "124m": (12, 12, 768, 50257, 32),
    "1558m": (48, 25, 1600, 50257, 16),
    "tiny": (2, 2, 64, 256, 2),
}


class Block(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.projection = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x):
        sequences, tokens, width = x.shape
        q, k, v = self.qkv(self.norm1(x)).view(sequences, tokens, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        attended = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.projection(attended.transpose(1, 2).reshape(sequences, tokens, width))
        return x + self.down(functional.gelu(self.up(self.norm2(x)), approximate="tanh"))


class GPT2(nn.Module):
    def __init__(self, layers, heads, width, vocabulary, context, checkpoint, chunks):
        super().__init__()
        self.checkpoint, self.chunks = checkpoint, chunks
        self.table, self.positions = nn.Embedding(vocabulary, width), nn.Embedding(context, width)
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        for parameter in self.parameters():
            if parameter.ndim >= 2:
                nn.init.normal_(parameter, std=0.02)

    def chunk_loss(self, x, targets):
        logits = functional.linear(x, self.table.weight)
        return functional.cross_entropy(logits.float(), targets, reduction="sum")

    def forward(self, inputs, targets):
        x = self.table(inputs) + self.positions.weight[: inputs.shape[1]]
        for block in self.blocks:
            if self.checkpoint:
                x = torch.utils.checkpoint.checkpoint(block, x, use_reentrant=False)
            else:
                x = block(x)
        x, targets = self.norm(x).flatten(0, 1), targets.flatten()
        if self.chunks == 1:
            return self.chunk_loss(x, targets) / targets.numel()
        # The logits of a chunk are computed again in backward, so that those of the batch are never all in memory.
        loss = sum(
            torch.utils.checkpoint.checkpoint(self.chunk_loss, x_part, targets_part, use_reentrant=False)
            for x_part, targets_part in zip(x.chunk(self.chunks), targets.chunk(self.chunks)))
        return loss / targets.numel()


class MasterWeights:
    """Weights in bf16, the optimizer on fp32 copies of them: snug's mixed<bf16>, without autocast's casts in every step."""

    def __init__(self, model):
        self.weights = list(model.parameters())
        self.masters = [nn.Parameter(w.detach().float()) for w in self.weights]
        model.to(torch.bfloat16)

    def gather(self):
        # Gradients of bf16 weights are bf16 in PyTorch; snug's are fp32.
        for master, weight in zip(self.masters, self.weights):
            master.grad = weight.grad.float()
            weight.grad = None

    def scatter(self):
        with torch.no_grad():
            torch._foreach_copy_(self.weights, self.masters)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", choices=tuple(MODELS), default="124m")
    parser.add_argument("--eager", action="store_true", help="without torch.compile")
    parser.add_argument("--mode", default="default", help="of torch.compile: default, max-autotune, ...")
    parser.add_argument("--master", action="store_true",
                        help="bf16 weights and gradients with fp32 master copies, instead of autocast over fp32 weights")
    parser.add_argument("--checkpoint", action="store_true", help="compute every block again in backward")
    parser.add_argument("--chunks", type=int, default=1, help="of the rows that go through the head")
    parser.add_argument("--batch", type=int, help="sequences of a micro-batch; default: snug's benchmark's")
    parser.add_argument("--tokens", type=int, default=1024)
    parser.add_argument("--micro-batches", type=int, default=1)
    parser.add_argument("--steps", type=int, default=20, help="steps that are timed")
    parser.add_argument("--warmup", type=int, default=5, help="steps before them; the first one compiles")
    parser.add_argument("--cpu", action="store_true", help="on the processor, to see that the script runs")
    options = parser.parse_args()
    if not options.cpu and not torch.cuda.is_available():
        parser.error("no GPU that PyTorch can use (--cpu --model tiny --tokens 16 --eager shows that the script runs)")

    layers, heads, width, vocabulary, sequences = MODELS[options.model]
    sequences = options.batch or sequences
    device = "cpu" if options.cpu else "cuda"
    torch.manual_seed(0)
    torch.set_float32_matmul_precision("high")
    with torch.device(device):
        model = GPT2(layers, heads, width, vocabulary, 1024, options.checkpoint, options.chunks)
        tokens = torch.randint(vocabulary, (options.micro_batches, 2, sequences, options.tokens))
    parameters = sum(p.numel() for p in model.parameters())
    master = MasterWeights(model) if options.master else None
    updated = master.masters if master else list(model.parameters())
    optimizer = torch.optim.AdamW(
        [{"params": [p for p in updated if p.ndim >= 2], "weight_decay": 0.1},
         {"params": [p for p in updated if p.ndim < 2], "weight_decay": 0.0}],
        lr=6e-4, betas=(0.9, 0.95), eps=1e-8, fused=True)
    forward = model if options.eager else torch.compile(model, mode=options.mode)

    def step():
        total = 0.0
        for inputs, targets in tokens:
            with torch.autocast(device, dtype=torch.bfloat16, enabled=master is None):
                loss = forward(inputs, targets) / options.micro_batches
            loss.backward()
            total = total + loss.detach()
        if master:
            master.gather()
        nn.utils.clip_grad_norm_(updated, 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        if master:
            master.scatter()
        return total.item()  # waits for the device, as snug's step does

    report(
        {
            "program": f"PyTorch {torch.__version__}",
            "model": f"GPT-2 {options.model}",
            "mode": "eager" if options.eager else f"compiled, {options.mode}",
            "precision": "bf16 with fp32 master weights" if options.master else "autocast to bf16",
            "checkpointing": "every block" if options.checkpoint else "none",
            "chunks": options.chunks,
            "batch": [sequences, options.tokens],
            "micro_batches": options.micro_batches,
            "parameters": parameters,
        },
        step, options, options.micro_batches * sequences * options.tokens,
        6 * parameters + 12 * layers * width * options.tokens)


if __name__ == "__main__":
    main()
