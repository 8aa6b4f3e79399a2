#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""One fine-tuning step of SmolLM2-135M by PyTorch, transformers and PEFT on the CPU: LoRA of rank 16 on all linear layers.

The same mathematics as benchmarks/step/host/fine_tune.cpp: base weights in bf16, or in NF4 with quantized scales by
bitsandbytes (--quantized), adapters in fp32, products in bf16 by autocast; AdamW on the adapters, clipping by global
norm. Random weights and tokens. What the libraries have to be fast is used: fused attention, the fused optimizer,
torch.compile. See README.md.
"""

import argparse
import json
import os
import resource
import statistics
import time
import warnings

import torch
from torch.nn import functional


def peak_resident_mib():
    # Linux counts ru_maxrss in KiB.
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def make_model(transformers, options):
    """SmolLM2-135M with random weights in bf16."""
    config = transformers.LlamaConfig(
        vocab_size=49152, hidden_size=576, intermediate_size=1536, num_hidden_layers=30, num_attention_heads=9,
        num_key_value_heads=3, max_position_embeddings=8192, rms_norm_eps=1e-5, rope_theta=100000.0,
        tie_word_embeddings=True, attn_implementation="sdpa", use_cache=False)
    model = transformers.LlamaForCausalLM(config).to(torch.bfloat16)
    if options.checkpoint:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        model.enable_input_require_grads()
    return model


def quantize(model):
    """Every linear layer but the head as bitsandbytes' Linear4bit, the way transformers loads a model in 4 bits."""
    import bitsandbytes

    for name, module in list(model.named_modules()):
        if not isinstance(module, torch.nn.Linear) or name == "lm_head":
            continue
        layer = bitsandbytes.nn.Linear4bit(
            module.in_features, module.out_features, bias=False, compute_dtype=torch.bfloat16,
            compress_statistics=True, quant_type="nf4", device="meta")
        layer.weight = bitsandbytes.nn.Params4bit(
            module.weight.data, requires_grad=False, compress_statistics=True, quant_type="nf4",
            module=layer).to("cpu")
        parent, _, child = name.rpartition(".")
        setattr(model.get_submodule(parent), child, layer)
    return bitsandbytes.__version__


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quantized", action="store_true", help="QLoRA: NF4 base weights by bitsandbytes")
    parser.add_argument("--dora", action="store_true")
    parser.add_argument("--compile", action="store_true", help="torch.compile the model")
    parser.add_argument("--checkpoint", action="store_true", help="gradient checkpointing, every block")
    parser.add_argument("--threads", type=int, default=int(os.environ.get("OMP_NUM_THREADS", os.cpu_count())))
    parser.add_argument("--batch", type=int, default=4, help="sequences")
    parser.add_argument("--tokens", type=int, default=256, help="tokens per sequence")
    parser.add_argument("--steps", type=int, default=5, help="steps that are timed")
    parser.add_argument("--warmup", type=int, default=2, help="steps before them; the first one compiles")
    options = parser.parse_args()

    warnings.simplefilter("ignore")
    import peft
    import transformers
    transformers.logging.set_verbosity_error()
    imported = peak_resident_mib()

    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    model = make_model(transformers, options)
    quantizer = quantize(model) if options.quantized else None
    model = peft.get_peft_model(model, peft.LoraConfig(
        r=16, lora_alpha=32, lora_dropout=0.0, target_modules="all-linear", use_dora=options.dora,
        task_type="CAUSAL_LM"))
    trained = [p for p in model.parameters() if p.requires_grad]
    assert all(p.dtype == torch.float32 for p in trained)
    optimizer = torch.optim.AdamW(trained, lr=3e-4, betas=(0.9, 0.95), eps=1e-8, weight_decay=0.1, fused=True)
    forward = torch.compile(model) if options.compile else model
    tokens = torch.randint(49152, (options.batch, options.tokens + 1))
    inputs, targets = tokens[:, :-1].contiguous(), tokens[:, 1:].contiguous()

    def step():
        with torch.autocast("cpu", dtype=torch.bfloat16):
            logits = forward(input_ids=inputs, use_cache=False).logits
            loss = functional.cross_entropy(logits.flatten(0, 1), targets.flatten())
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
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
        "peer": f"PyTorch {torch.__version__}, transformers {transformers.__version__}, PEFT {peft.__version__}"
                + (f", bitsandbytes {quantizer}" if quantizer else ""),
        "adapter": ("QDoRA" if options.quantized else "DoRA") if options.dora
                   else "QLoRA" if options.quantized else "LoRA",
        "mode": "compiled" if options.compile else "eager",
        "checkpointing": "every block" if options.checkpoint else "none",
        "precision": "bf16",
        "batch": [options.batch, options.tokens],
        "threads": options.threads,
        "trained_parameters": sum(p.numel() for p in trained),
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
